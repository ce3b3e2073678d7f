//! `.github/workflows`: what they run is there.

use super::{assert_known, assert_there, document, every, named_files};

#[test]
fn workflows_name_files_and_variables_that_there_are() {
    let mut named = 0;
    for name in ["ci.yml", "release.yml"] {
        let place = format!(".github/workflows/{name}");
        let workflow = document(&place);
        let mut scripts = Vec::new();
        every("run", &workflow, &mut scripts);
        for script in scripts {
            let script = script.as_str().unwrap();
            for file in named_files(script) {
                assert_there(&place, &file);
                named += 1;
            }
            for word in script.split(|one: char| !one.is_ascii_uppercase() && one != '_') {
                assert_known(&place, word);
            }
        }
    }
    assert!(named > 5, "only {named} files are named");
}
