// Shows /openapi.json, and sends its examples.
"use strict";

/** An element with attributes and children; text becomes text, never markup. */
function make(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

let description = {};
let fields = 0;

const resolved = (schema) => {
  const name = schema?.$ref?.split("/").pop();
  return name ? description.components.schemas[name] : schema ?? {};
};

/** A schema in one line or a few, as people write types. */
function type(schema, depth = 0) {
  const name = schema?.$ref?.split("/").pop();
  const found = resolved(schema);
  const indent = "  ".repeat(depth + 1);
  if (depth > 5) return name ?? "…";
  const either = found.oneOf ?? found.anyOf;
  if (either) return either.map((one) => type(one, depth)).join("\n" + "  ".repeat(depth) + "or ");
  if (found.allOf) {
    const properties = Object.assign({}, ...found.allOf.map((part) => resolved(part).properties ?? {}));
    const required = found.allOf.flatMap((part) => resolved(part).required ?? []);
    const others = found.allOf.filter((part) => !resolved(part).properties).map((part) => type(part, depth));
    return [type({ type: "object", properties, required }, depth), ...others].join("\n" + "  ".repeat(depth) + "and ");
  }
  if (found.enum) return found.enum.map((one) => JSON.stringify(one)).join(" | ");
  if (found.properties) {
    const lines = Object.entries(found.properties).map(([key, value]) => {
      const optional = found.required?.includes(key) ? "" : "?";
      const words = value.description ?? "";
      return `${indent}${key}${optional}: ${type(value, depth + 1)}${words ? `  — ${words.split("\n")[0]}` : ""}`;
    });
    return `{\n${lines.join("\n")}\n${"  ".repeat(depth)}}`;
  }
  const kind = [found.type ?? "anything"].flat().join(" or ");
  if (kind.startsWith("array")) return `[ ${type(found.items, depth)}, … ]`;
  return found.format ? `${kind} (${found.format})` : kind;
}

/** A labelled field; the label's words first, the hint after. */
function field(words, hint, input) {
  fields += 1;
  input.id = `field-${fields}`;
  return make("div", { class: "field" }, make("label", { for: input.id }, words), hint ? make("p", { class: "hint" }, hint) : null, input);
}

function choice(options) {
  return make("select", {}, ...options.map(([value, words]) => make("option", { value }, words)));
}

/** Fields for a request's body, and what makes the body of them. */
function bodyFields(content) {
  const kinds = Object.keys(content);
  if (kinds.includes("application/json")) {
    const examples = Object.values(content["application/json"].examples ?? {});
    const text = make("textarea", { spellcheck: "false" });
    text.value = JSON.stringify(examples[0]?.value ?? {}, null, 2);
    return { elements: [field("Body", examples[0]?.summary, text)], body: async () => ({ type: "application/json", body: text.value }) };
  }
  const pictures = kinds.flatMap((kind) => Object.values(content[kind].examples ?? {}));
  const select = choice([...pictures.map((one) => [one.externalValue, one.summary]), ["", "Your own file:"]]);
  const file = make("input", { type: "file", accept: kinds.filter((kind) => kind.startsWith("image/")).join(",") });
  file.addEventListener("change", () => { select.value = ""; });
  const body = async () => {
    const blob = select.value ? await (await fetch(select.value)).blob() : file.files[0];
    return { type: blob?.type || "application/octet-stream", body: blob ?? new Blob([]) };
  };
  return { elements: [field("Picture", `Also as ${kinds.join(", ")}`, select), field("File", "", file)], body };
}

const EVENTS = "text/event-stream";

/** Shows an answer as it comes: events have no end of their own. */
async function show(response, place) {
  const headers = [...response.headers].map(([name, value]) => `${name}: ${value}`).join("\n");
  place.textContent = `${response.status} ${response.statusText}\n${headers}\n\n`;
  if ((response.headers.get("content-type") ?? "").startsWith(EVENTS)) {
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let chunk = await reader.read(); !chunk.done; chunk = await reader.read()) place.textContent += chunk.value;
    return;
  }
  const text = await response.text();
  try {
    place.textContent += JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    place.textContent += text;
  }
}

/** What was last given out as an id is what a result is asked for. */
let lastId = null;

function operation(path, method, what) {
  const parameters = (what.parameters ?? []).map((parameter) => {
    const input = make("input", { type: "text", autocomplete: "off" });
    const given = parameter.example ?? resolved(parameter.schema).example ?? "";
    if (parameter.required) input.value = given;
    else if (given !== "") input.placeholder = `for example ${given}`;
    const words = `${parameter.name} (${parameter.in}${parameter.required ? "" : ", optional"})`;
    return { ...parameter, input, element: field(words, parameter.description, input) };
  });
  const body = what.requestBody ? bodyFields(what.requestBody.content) : null;
  const answer = make("pre", { "aria-live": "polite", tabindex: "0", hidden: "" });
  const button = make("button", { type: "button" }, "Send");
  let running = null;
  button.addEventListener("click", async () => {
    running?.abort();
    running = new AbortController();
    answer.hidden = false;
    answer.textContent = "…";
    const query = new URLSearchParams();
    const headers = {};
    let address = path;
    for (const { name, in: place, input } of parameters) {
      if (place === "path") address = address.replace(`{${name}}`, encodeURIComponent(input.value));
      else if (input.value && place === "query") query.set(name, input.value);
      else if (input.value && place === "header") headers[name] = input.value;
    }
    if (query.size) address += `?${query}`;
    try {
      const sent = body ? await body.body() : null;
      if (sent) headers["Content-Type"] = sent.type;
      const response = await request(address, { method: method.toUpperCase(), headers, body: sent?.body, signal: running.signal });
      const copy = response.clone();
      if (response.status === 202) copy.json().then(({ inference_id: id }) => { lastId = id ?? lastId; }, () => {});
      await show(response, answer);
    } catch (error) {
      if (error.name !== "AbortError") answer.textContent = `The server does not answer (${error.message}): is mnistq serve running?`;
    }
  });
  const rows = Object.entries(what.responses).map(([status, response]) => {
    const [kind, content] = Object.entries(response.content ?? {})[0] ?? ["", null];
    const shape = content?.schema && status < 400 ? make("pre", { tabindex: "0" }, type(content.schema)) : null;
    return make("tr", {}, make("th", { scope: "row" }, status), make("td", {}, response.description, shape && kind ? make("span", { class: "hint" }, ` ${kind}`) : null, shape));
  });
  const inside = make("div", { class: "operation" },
    what.description ? make("p", {}, what.description) : null,
    ...parameters.map(({ element }) => element),
    ...(body?.elements ?? []),
    make("div", {}, button),
    answer,
    make("h3", {}, "Answers"),
    make("table", {}, make("tbody", {}, ...rows)));
  const details = make("details", { id: what.operationId },
    make("summary", {}, make("span", { class: "method" }, method.toUpperCase()), make("code", {}, path), make("span", { class: "words" }, what.summary ?? "")),
    inside);
  details.addEventListener("toggle", () => {
    const id = parameters.find(({ name }) => name === "id");
    if (details.open && id && lastId) id.input.value = lastId;
  });
  return details;
}

async function start() {
  const response = await fetch("/openapi.json");
  description = await response.json();
  document.getElementById("about").textContent = `${description.info.description} Version ${description.info.version}.`;
  const operations = Object.entries(description.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, what]) => ({ path, method, what })));
  for (const tag of description.tags) {
    const those = operations.filter(({ what }) => what.tags.includes(tag.name));
    const id = `tag-${tag.name.replaceAll(" ", "-")}`;
    const section = make("section", { "aria-labelledby": id }, make("h2", { id }, tag.name), make("p", {}, tag.description));
    for (const { path, method, what } of those) section.append(operation(path, method, what));
    document.getElementById("groups").append(section);
  }
}

start().catch(() => {
  const place = document.getElementById("trouble");
  place.textContent = "The description of the interface can't be loaded: is mnistq serve running?";
  place.hidden = false;
});
