//! `slurm/task.sh`: what Slurm runs for each element of an array.

use std::path::Path;

use super::executor::SlurmOptions;

/// The script. It runs outside of any container, so that it can talk to Slurm; its argument is the number of the list of tasks.
pub(super) fn script(experiment: &str, run_dir: &Path, options: &SlurmOptions) -> String {
    let settings = &options.settings;
    let mut lines = vec![
        "#!/bin/bash".to_owned(),
        format!(
            "# Written by aelab for each submission: a task of `{experiment}`. Slurm runs it for each line of N.tasks; N is its argument."
        ),
    ];
    lines.extend(settings.directives(options.threads_per_trial));
    lines.push(format!("run_dir={}", quoted(&run_dir.display().to_string())));
    lines.push(PREAMBLE.to_owned());
    lines.extend(settings.setup.iter().cloned());
    let mut command = settings.prefix.clone().unwrap_or_default();
    if !command.is_empty() {
        command.push(' ');
    }
    command.push_str(&settings.program.as_ref().map_or_else(|| quoted(&options.program.display().to_string()), |program| quoted(program)));
    command.push_str(&format!(
        " task --jobs={} --threads={} --checkpoint-seconds={} --grace-seconds={} --hang-seconds={} --max-restarts={}",
        settings.trials_at_a_time,
        options.threads_per_trial,
        options.checkpoint_every.as_secs(),
        options.grace.as_secs(),
        options.hang.as_secs(),
        options.max_restarts
    ));
    command.push_str(r#" "$run_dir" "$batch" "$index" &"#);
    lines.push(command);
    lines.push(EPILOGUE.to_owned());
    lines.join("\n")
}

const PREAMBLE: &str = r#"batch="$1"
index="$SLURM_ARRAY_TASK_ID"
task=
warned=
# Slurm warns with USR1 before the time limit, and sends TERM before it ends a task.
trap 'warned=1; [ -z "$task" ] || kill -USR1 "$task" 2>/dev/null' USR1
trap '[ -z "$task" ] || kill -TERM "$task" 2>/dev/null' TERM
"#;

const EPILOGUE: &str = r#"task=$!
wait "$task"
code=$?
# A signal ends `wait` before its time.
while kill -0 "$task" 2>/dev/null; do
  wait "$task"
  code=$?
done
if [ -n "$warned" ] && [ -e "$run_dir/slurm/out/${batch}_$index.again" ]; then
  # No time is left, but work is: back into the queue. Slurm ends this script when it has done so.
  scontrol requeue "${SLURM_ARRAY_JOB_ID}_$index" && { sleep 60 & wait; }
fi
exit "$code"
"#;

/// A word for the shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::time::Duration;

    use super::super::SlurmSettings;
    use super::*;

    #[cfg(unix)]
    #[test]
    fn the_shell_reads_back_any_path_and_prefix_and_setup_come_first() {
        let settings: SlurmSettings = serde_yaml::from_str("{setup: ['NAME=set'], prefix: env SEEN=yes}").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("it's a run");
        std::fs::create_dir_all(root.join("slurm/out")).unwrap();
        let program = folder.path().join("my program");
        std::fs::write(&program, "#!/bin/sh\necho \"$SEEN $NAME\"; for a; do echo \"$a\"; done\n").unwrap();
        let options = SlurmOptions {
            settings,
            program: PathBuf::from("/bin/sh"),
            threads_per_trial: 2,
            checkpoint_every: Duration::from_secs(600),
            grace: Duration::from_secs(10),
            hang: Duration::from_secs(3600),
            max_restarts: 2,
            poll: Duration::from_secs(1),
            detach: false,
        };
        let text = script("name", &root, &options).replace("'/bin/sh' task", &format!("NAME=$NAME /bin/sh '{}' task", program.display()));
        let path = folder.path().join("task.sh");
        std::fs::write(&path, text).unwrap();
        let output = std::process::Command::new("bash").arg(&path).arg("7").env("SLURM_ARRAY_TASK_ID", "3").output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let lines: Vec<&str> = said.lines().collect();
        assert_eq!(lines[..3], ["yes set", "task", "--jobs=1"], "{said}{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(lines[lines.len() - 3..], [root.to_str().unwrap(), "7", "3"]);
        assert_eq!(output.status.code(), Some(0));
    }
}
