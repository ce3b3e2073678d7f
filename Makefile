# What people and CI type. `make help` lists it.

SHELL := /bin/sh
# Debian keeps servers where a user's shell does not look.
export PATH := $(PATH):/usr/sbin:/sbin
BUILT := $(or $(CARGO_TARGET_DIR),target)/release
# What fuzzing builds, has found and goes on with.
FUZZED := $(or $(CARGO_TARGET_DIR),target)/fuzz

# Where sanitized tests are built. With AVX-512 not all dependencies compile for Miri.
SANITIZED := $(or $(CARGO_TARGET_DIR),target)/sanitized
HOST = $(shell rustc -vV | sed -n 's/^host: //p')
MIRI_FEATURES = $(if $(filter x86_64-%,$(HOST)),-Ctarget-feature=+avx2 -Ctarget-feature=+fma)

# Where CUDA is installed, which GPUs its kernels are for (80: A100 and newer), and where all of that is built.
CUDA_HOME ?= /usr/local/cuda
CUDA_COMPUTE_CAP ?= 80
CUDA_TARGET ?= $(or $(CARGO_TARGET_DIR),target)/cuda
CUDA_FEATURES ?= cuda
WITH_CUDA = CUDA_HOME=$(CUDA_HOME) CUDA_PATH=$(CUDA_HOME) CUDA_ROOT=$(CUDA_HOME) CUDA_COMPUTE_CAP=$(CUDA_COMPUTE_CAP) \
	LIBRARY_PATH=$(CUDA_HOME)/lib64:$(CUDA_HOME)/lib64/stubs PATH=$(CUDA_HOME)/bin:$$PATH
# What gpu-check is about.
DEVICE ?= cuda:0
CHECKED := $(or $(EXECUTABLE),$(if $(filter cpu,$(DEVICE)),$(BUILT),$(CUDA_TARGET)/release)/mnistq)

.PHONY: help test lint release cuda cuda-check gpu-check nvcc man chaos soak fuzz sanitize deny advisories bench-peers api servers

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 20

test: servers ## Run every test; installs RabbitMQ, Redis, Prometheus and Chromium from the system's packages if they are missing
	cargo test --locked

lint: ## Check form, lints and documentation
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps

deny: ## Check licences and origins of all that is depended on; installs cargo-deny if it is missing
	@command -v cargo-deny >/dev/null || cargo install --locked cargo-deny
	cargo deny --locked --config config/deny.toml check licenses bans sources

advisories: ## Check dependencies for known weaknesses; fetches their database from GitHub
	@command -v cargo-deny >/dev/null || cargo install --locked cargo-deny
	cargo deny --locked --config config/deny.toml check advisories

release: ## Build the executable, target/release/mnistq
	cargo build --locked --release

cuda: nvcc ## Build the executable for GPUs, target/cuda/release/mnistq, with the toolkit in CUDA_HOME
	$(WITH_CUDA) cargo build --locked --release --bin mnistq --features $(CUDA_FEATURES) --target-dir $(CUDA_TARGET)

cuda-check: cuda ## Build it, and check its lints
	$(WITH_CUDA) cargo clippy --locked --release --lib --bins --features $(CUDA_FEATURES) --target-dir $(CUDA_TARGET) -- -D warnings

gpu-check: $(if $(EXECUTABLE),,$(if $(filter cpu,$(DEVICE)),release,cuda)) ## Check and measure a GPU: make gpu-check MNIST=DIR, with EXECUTABLE=FILE where it was carried, DEVICE=cpu to rehearse
	@test -n "$(MNIST)" || { echo "make gpu-check MNIST=DIR [DEVICE=cuda:0|cpu] [EXECUTABLE=FILE] [PYTHON=python3]"; exit 2; }
	PYTHON=$(or $(PYTHON),python3) .ci/gpu-check $(CHECKED) $(MNIST) $(DEVICE)

nvcc:
	@test -x $(CUDA_HOME)/bin/nvcc || { echo "no CUDA toolkit in $(CUDA_HOME): say with CUDA_HOME=DIR where it is, or see README, GPUs"; exit 2; }

man: ## Write the manual pages to target/man
	cargo run --locked --quiet --example man_pages -- target/man

chaos: servers ## Break everything at random for half an hour, on RabbitMQ and Redis, and then on SQLite
	cargo build --locked --release --bin mnistq --example chaos
	$(BUILT)/examples/chaos --pairing cluster
	$(BUILT)/examples/chaos --pairing embedded

soak: servers ## Send uploads for ten minutes, on RabbitMQ and Redis, and then on SQLite, and see what grows
	cargo build --locked --release --bin mnistq --example soak
	$(BUILT)/examples/soak --pairing cluster
	$(BUILT)/examples/soak --pairing embedded

api: ## Let schemathesis (pip install schemathesis) ask a server, URL, all that its /openapi.json allows
	schemathesis --config-file tests/schemathesis/config.toml run $(or $(URL),http://127.0.0.1:8000)/openapi.json

fuzz: ## Make up bytes for a door of tests/fuzz/bodies.rs: make fuzz TARGET=digit SECONDS=60; needs nightly Rust
	@command -v cargo-fuzz >/dev/null || cargo install --locked cargo-fuzz
	mkdir -p $(FUZZED)/corpus/$(TARGET) $(FUZZED)/crashes
	cp Cargo.lock tests/fuzz/Cargo.lock
	cargo +nightly fuzz run --fuzz-dir tests/fuzz --target-dir $(FUZZED)/build $(TARGET) \
		$(FUZZED)/corpus/$(TARGET) tests/fuzz/corpus/$(TARGET) $(if $(filter digit,$(TARGET)),tests/data/pictures) -- \
		-max_total_time=$(or $(SECONDS),60) -timeout=20 -malloc_limit_mb=256 -print_final_stats=1 \
		-artifact_prefix=$(FUZZED)/crashes/$(TARGET)-

sanitize: ## Run what is unsafe under Miri, and all tests of the kernels under AddressSanitizer; needs nightly Rust
	rustup component add --toolchain nightly miri rust-src
	RUSTFLAGS="$(MIRI_FEATURES)" cargo +nightly miri test --target-dir $(SANITIZED)/miri --lib every_level_runs_a_kernel
	RUSTFLAGS="-Zsanitizer=address" cargo +nightly test --target $(HOST) --target-dir $(SANITIZED)/address --test it kernels::

bench-peers: servers ## Measure mnistq beside ONNX Runtime, PyTorch and the well-known Python stack, in turns
	@test -n "$(PEERS)" || { echo "make bench-peers PEERS=DIR PYTHON=DIR/bin/python MNIST=DIR (see examples/peers.rs)"; exit 2; }
	cargo build --locked --release --bin mnistq --example peers
	$(BUILT)/examples/peers --peers $(PEERS) --python $(PYTHON) --data $(MNIST)

servers:
	@command -v rabbitmq-server >/dev/null || .ci/install rabbitmq-server
	@command -v redis-server >/dev/null || command -v valkey-server >/dev/null || .ci/install redis-server
	@command -v promtool >/dev/null || .ci/install prometheus
	@command -v chromedriver >/dev/null || .ci/install chromium chromium-driver
