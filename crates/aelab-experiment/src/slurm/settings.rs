//! `execution.slurm`: what is asked of Slurm for a task.

use std::fmt;
use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// What is asked of Slurm for a task, the element of a job array. What is left out is up to the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SlurmSettings {
    /// Partition, or several separated by commas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<String>,
    /// Time limit of a task: minutes, or `minutes:seconds`, `hours:minutes:seconds`, `days-hours`, `days-hours:minutes`,
    /// `days-hours:minutes:seconds`. It may be shorter than a trial: the task goes back into the queue and goes on from its checkpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<TextOrNumber>,
    /// Memory of a task: a number with K, M, G or T; megabytes without a letter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<TextOrNumber>,
    /// GPUs of a task: a number, or kind and number, `a100:1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpus: Option<TextOrNumber>,
    /// Cores of a task; as many as its trials have threads where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus_per_task: Option<NonZeroU32>,
    /// Features that nodes must have, in Slurm's notation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub constraint: Option<String>,
    /// Account that pays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Quality of service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub qos: Option<String>,
    /// Tasks of an array that run at a time, at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub array_parallelism: Option<NonZeroU32>,
    /// Trials of a task. Short trials go together: Slurm takes a while to start a task.
    #[serde(default = "one")]
    pub trials_per_task: NonZeroU32,
    /// How many trials of a task run at a time.
    #[serde(default = "one")]
    pub trials_at_a_time: NonZeroU32,
    /// How many seconds before the time limit a task is told to write its checkpoints and to go back into the queue.
    #[serde(default = "default_warning_seconds")]
    pub warning_seconds: NonZeroU32,
    /// Lines of shell before the worker: `module load ...`, `export ...`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub setup: Vec<String>,
    /// What stands before the program on its command line: `apptainer exec image.sif`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// The program `aelab` on the nodes, where it is not the one that submits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// More options of sbatch, each as `--option=value` or as a whole line `#SBATCH --option=value`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extra: Vec<String>,
}

fn one() -> NonZeroU32 {
    NonZeroU32::MIN
}

fn default_warning_seconds() -> NonZeroU32 {
    const { NonZeroU32::new(60).expect("not 0") }
}

impl Default for SlurmSettings {
    fn default() -> Self {
        Self {
            partition: None,
            time: None,
            memory: None,
            gpus: None,
            cpus_per_task: None,
            constraint: None,
            account: None,
            qos: None,
            array_parallelism: None,
            trials_per_task: one(),
            trials_at_a_time: one(),
            warning_seconds: default_warning_seconds(),
            setup: Vec::new(),
            prefix: None,
            program: None,
            extra: Vec::new(),
        }
    }
}

/// Options that say how a task is started and found again.
const OWN_OPTIONS: [&str; 15] = [
    "--array",
    "-a",
    "--job-name",
    "-J",
    "--output",
    "-o",
    "--error",
    "-e",
    "--open-mode",
    "--requeue",
    "--no-requeue",
    "--signal",
    "--wait",
    "-W",
    "--wrap",
];

impl SlurmSettings {
    /// Whether Slurm could read it; the key that is wrong and what is wrong with it.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        for (key, value) in
            [("partition", &self.partition), ("constraint", &self.constraint), ("account", &self.account), ("qos", &self.qos)]
        {
            if value.as_ref().is_some_and(|value| !is_word(value)) {
                return Err((key, format!("`{key}` is one word without blanks and quotes")));
            }
        }
        if let Some(time) = &self.time {
            let Some(seconds) = time_limit_seconds(&time.0) else {
                return Err((
                    "time",
                    format!(
                        "`{time}` is no time limit: expected minutes, `minutes:seconds`, `hours:minutes:seconds`, `days-hours`, \
                         `days-hours:minutes` or `days-hours:minutes:seconds`"
                    ),
                ));
            };
            if seconds <= u64::from(self.warning_seconds.get()) {
                return Err((
                    "time",
                    format!(
                        "a time limit of {seconds} seconds leaves nothing to work in: the warning comes {} seconds before it (`warning_seconds`)",
                        self.warning_seconds
                    ),
                ));
            }
        }
        if let Some(memory) = &self.memory {
            let digits = memory.0.strip_suffix(['K', 'M', 'G', 'T', 'k', 'm', 'g', 't']).unwrap_or(&memory.0);
            if digits.parse::<u64>().is_err() {
                return Err(("memory", format!("`{memory}` is no amount of memory: expected a whole number with K, M, G or T, `16G`")));
            }
        }
        if let Some(gpus) = &self.gpus {
            let (kind, number) = gpus.0.rsplit_once(':').unwrap_or(("gpu", &gpus.0));
            if !is_word(kind) || number.parse::<u32>().map_or(true, |number| number == 0) {
                return Err(("gpus", format!("`{gpus}` is no number of GPUs: expected `1`, or kind and number, `a100:1`")));
            }
        }
        if let Some(line) = self.setup.iter().find(|line| line.contains('\0')) {
            return Err(("setup", format!("`{}` cannot be a line of a script", line.escape_debug())));
        }
        if self.prefix.as_ref().is_some_and(|prefix| prefix.contains(['\n', '\0'])) {
            return Err(("prefix", "`prefix` is one line".to_owned()));
        }
        for line in &self.extra {
            let option = option_of(line);
            if !option.starts_with('-') || line.contains(['\n', '\0']) {
                return Err(("extra", format!("`{line}` is no option of sbatch: expected `--option=value` or `#SBATCH --option=value`")));
            }
            let name = option.split(['=', ' ']).next().unwrap_or(option);
            if OWN_OPTIONS.contains(&name) {
                return Err(("extra", format!("`{name}` is up to aelab: it needs it to find its tasks and to go on with them")));
            }
        }
        Ok(())
    }

    /// The lines `#SBATCH ...` of a task whose trials have so many threads each.
    pub(super) fn directives(&self, threads_per_trial: usize) -> Vec<String> {
        let cores = self.cpus_per_task.map_or(threads_per_trial * self.trials_at_a_time.get() as usize, |cores| cores.get() as usize);
        let mut options = vec!["--nodes=1".to_owned(), "--ntasks=1".to_owned(), format!("--cpus-per-task={cores}")];
        let text = |value: &Option<TextOrNumber>| value.as_ref().map(|value| value.0.clone());
        for (option, value) in [
            ("partition", self.partition.clone()),
            ("time", text(&self.time)),
            ("mem", text(&self.memory)),
            ("gres", self.gpus.as_ref().map(|gpus| format!("gpu:{gpus}"))),
            ("constraint", self.constraint.clone()),
            ("account", self.account.clone()),
            ("qos", self.qos.clone()),
        ] {
            options.extend(value.map(|value| format!("--{option}={value}")));
        }
        options.extend(["--requeue".to_owned(), "--open-mode=append".to_owned(), format!("--signal=B:USR1@{}", self.warning_seconds)]);
        options.extend(self.extra.iter().map(|line| option_of(line).to_owned()));
        options.into_iter().map(|option| format!("#SBATCH {option}")).collect()
    }

    /// Variables of sbatch that would take the place of what is asked for here.
    pub(super) fn replaced_variables(&self) -> Vec<&'static str> {
        let mut names = vec![
            "SBATCH_ARRAY_INX",
            "SBATCH_JOB_NAME",
            "SBATCH_OUTPUT",
            "SBATCH_ERROR",
            "SBATCH_OPEN_MODE",
            "SBATCH_REQUEUE",
            "SBATCH_NO_REQUEUE",
            "SBATCH_SIGNAL",
            "SBATCH_WAIT",
        ];
        names.extend(self.partition.is_some().then_some("SBATCH_PARTITION"));
        names.extend(self.time.is_some().then_some("SBATCH_TIMELIMIT"));
        names.extend(self.memory.is_some().then_some("SBATCH_MEM_PER_NODE"));
        names.extend(self.gpus.is_some().then_some("SBATCH_GRES"));
        names.extend(self.constraint.is_some().then_some("SBATCH_CONSTRAINT"));
        names.extend(self.account.is_some().then_some("SBATCH_ACCOUNT"));
        names.extend(self.qos.is_some().then_some("SBATCH_QOS"));
        names
    }
}

fn option_of(line: &str) -> &str {
    let line = line.trim();
    line.strip_prefix("#SBATCH").map_or(line, str::trim_start)
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|character| !character.is_whitespace() && !character.is_control() && !"'\"\\#".contains(character))
}

/// A time limit as Slurm reads it, in seconds.
fn time_limit_seconds(text: &str) -> Option<u64> {
    let (days, rest) = match text.split_once('-') {
        Some((days, rest)) => (Some(days.parse::<u64>().ok()?), rest),
        None => (None, text),
    };
    let numbers: Vec<u64> = rest.split(':').map(|part| part.parse().ok()).collect::<Option<_>>()?;
    let (hours, minutes, seconds) = match (days.is_some(), numbers.as_slice()) {
        (true, [hours]) => (*hours, 0, 0),
        (true, [hours, minutes]) => (*hours, *minutes, 0),
        (false, [minutes]) => (0, *minutes, 0),
        (false, [minutes, seconds]) => (0, *minutes, *seconds),
        (_, [hours, minutes, seconds]) => (*hours, *minutes, *seconds),
        _ => return None,
    };
    let hours = days.unwrap_or(0).checked_mul(24)?.checked_add(hours)?;
    hours.checked_mul(3600)?.checked_add(minutes.checked_mul(60)?)?.checked_add(seconds)
}

/// A text, or a whole number, which means the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextOrNumber(pub String);

impl fmt::Display for TextOrNumber {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Serialize for TextOrNumber {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for TextOrNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(text) => Ok(Self(text)),
            Value::Number(number) if number.is_u64() => Ok(Self(number.to_string())),
            other => Err(serde::de::Error::custom(format!("expected a text or a whole number, found {other}"))),
        }
    }
}

impl JsonSchema for TextOrNumber {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "TextOrNumber".into()
    }

    fn json_schema(_generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"anyOf": [{"type": "string"}, {"type": "integer", "minimum": 1}]})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(yaml: &str) -> SlurmSettings {
        serde_yaml::from_str(yaml).unwrap()
    }

    #[test]
    fn time_limits_are_read_as_slurm_reads_them() {
        for (text, seconds) in
            [("90", 5400), ("1:30", 90), ("2:00:00", 7200), ("1-0", 86_400), ("1-12", 129_600), ("1-00:30", 88_200), ("2-1:00:05", 176_405)]
        {
            assert_eq!(time_limit_seconds(text), Some(seconds), "{text}");
        }
        for text in ["", "1h", "1:2:3:4", "1-2:3:4:5", "-5", "1.5", "99999999999999999999", "1-", "213503982334602-0"] {
            assert_eq!(time_limit_seconds(text), None, "{text}");
        }
    }

    #[test]
    fn what_slurm_could_not_read_is_refused_with_its_key() {
        for (yaml, key) in [
            ("partition: a b", "partition"),
            ("constraint: ''", "constraint"),
            ("time: soon", "time"),
            ("time: '0:30'", "time"),
            ("memory: 8GB", "memory"),
            ("gpus: 0", "gpus"),
            ("gpus: 'a100:'", "gpus"),
            ("prefix: \"a\\nb\"", "prefix"),
            ("extra: [exclusive]", "extra"),
            ("extra: ['#SBATCH --array=0-5']", "extra"),
            ("extra: ['-J name']", "extra"),
        ] {
            assert_eq!(read(yaml).check().unwrap_err().0, key, "{yaml}");
        }
        let good = "{partition: 'gpu,long', time: 1-12, memory: 16G, gpus: 'a100:2', constraint: '[rack1|rack2]', extra: ['--exclusive']}";
        assert_eq!(read(good).check(), Ok(()));
        assert_eq!(read("{time: 90, memory: 4000, gpus: 1}").check(), Ok(()));
    }

    #[test]
    fn every_setting_reaches_the_script() {
        let settings = read(
            "{partition: gpu, time: 30, memory: 8G, gpus: 1, constraint: fast, account: mine, qos: high, trials_at_a_time: 3, \
             warning_seconds: 90, extra: ['#SBATCH --exclude=n3', '--exclusive']}",
        );
        let lines = settings.directives(2);
        for option in [
            "--partition=gpu",
            "--time=30",
            "--mem=8G",
            "--gres=gpu:1",
            "--constraint=fast",
            "--account=mine",
            "--qos=high",
            "--cpus-per-task=6",
            "--signal=B:USR1@90",
            "--requeue",
            "--exclude=n3",
            "--exclusive",
        ] {
            assert!(lines.contains(&format!("#SBATCH {option}")), "{option} is missing in {lines:?}");
        }
        assert_eq!(read("{cpus_per_task: 4}").directives(2)[2], "#SBATCH --cpus-per-task=4");
    }
}
