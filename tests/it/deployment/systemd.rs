//! `config/systemd`: the units run what there is.

use super::{assert_known, assert_runs, text};

#[test]
fn units_run_what_there_is() {
    for name in ["mnistq-serve.service", "mnistq-work@.service"] {
        let place = format!("config/systemd/{name}");
        let unit = text(&place);
        let mut runs = 0;
        for line in unit.lines() {
            if let Some(command) = line.strip_prefix("ExecStart=/usr/local/bin/mnistq ") {
                let arguments: Vec<String> =
                    command.split(' ').map(|word| word.replace("%i", "cpu")).collect();
                assert_runs(&place, &arguments);
                runs += 1;
            }
            if let Some(settings) = line.strip_prefix("Environment=") {
                for setting in settings.split(' ') {
                    assert_known(&place, setting.split('=').next().unwrap());
                }
            }
        }
        assert_eq!(runs, 1, "{place}");
        // Both have one user, and so one database.
        for says in [
            "DynamicUser=yes",
            "User=mnistq",
            "StateDirectory=mnistq",
            "XDG_STATE_HOME=/var/lib",
        ] {
            assert!(unit.contains(says), "{place}: not {says}");
        }
    }
}
