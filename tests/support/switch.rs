//! The real binary in a folder of its own, and its log.

use super::wait_until;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use tempfile::TempDir;

/// A running `cardswitch serve`; killed when dropped.
pub struct Switch {
    child: Child,
    log: Arc<Mutex<Vec<Value>>>,
    log_reader: Option<JoinHandle<()>>,
    config: String,
    /// Words before the shell that becomes the switch.
    under: Vec<String>,
    /// Gone only where the folder has moved on to the next start.
    folder: Option<TempDir>,
}

impl Switch {
    /// Starts the switch in a new folder and waits until every network is open. `config` holds
    /// `[[network]]` and whatever else a test needs (but `[data]` and `[log]`; what it begins with is of `[http]`); let
    /// networks `listen = "127.0.0.1:0"`, and ask [`Switch::address`] for the port.
    pub fn start(config: &str) -> Switch {
        Switch::start_in(TempDir::new().unwrap(), config)
    }

    /// As `start`, in a folder that another one has left.
    pub fn start_in(folder: TempDir, config: &str) -> Switch {
        Switch::start_under(&[], folder, config)
    }

    /// As `start_in`, by a program that runs the words given to it (`nsenter ...`).
    pub fn start_under(under: &[String], folder: TempDir, config: &str) -> Switch {
        let switch = Switch::spawn_under(under, folder, config);
        let networks = config.matches("[[network]]").count();
        wait_until("every network is open", || {
            let mut child_has_ended = switch.log_reader.as_ref().unwrap().is_finished();
            child_has_ended &= switch.opened() < networks;
            assert!(!child_has_ended, "it did not start: {:?}", switch.log());
            switch.opened() == networks
        });
        switch
    }

    /// Starts the program and waits for nothing.
    pub fn spawn(folder: TempDir, config: &str) -> Switch {
        Switch::spawn_under(&[], folder, config)
    }

    fn spawn_under(under: &[String], folder: TempDir, config: &str) -> Switch {
        let file = folder.path().join("cardswitch.toml");
        let data = folder.path().join("data");
        let head = format!(
            "[data]\ndir = {data:?}\n[log]\nformat = \"json\"\nfilter = \"info,cardswitch::network=debug\"\n[http]\nlisten = \"127.0.0.1:0\"\n"
        );
        std::fs::write(&file, format!("{head}{config}")).unwrap();
        // With the soft limit of open files that most systems give; the shell becomes the switch.
        let words: Vec<&str> = under.iter().map(|word| &**word).chain(["sh"]).collect();
        let mut child = Command::new(words[0])
            .args(&words[1..])
            .args(["-c", "ulimit -S -n 1024; exec \"$0\" serve --config \"$1\""])
            .args([env!("CARGO_BIN_EXE_cardswitch").as_ref(), file.as_path()])
            .current_dir(folder.path())
            .env_remove("RUST_LOG")
            .env("CARDSWITCH_ROOT_KEY", "test-root-key-0123456789")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let (lines, kept) = (BufReader::new(child.stderr.take().unwrap()), log.clone());
        let log_reader = std::thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                let entry = serde_json::from_str(&line).unwrap_or(Value::String(line));
                kept.lock().unwrap().push(entry);
            }
        });
        Switch {
            child,
            log,
            log_reader: Some(log_reader),
            config: config.to_owned(),
            under: under.to_owned(),
            folder: Some(folder),
        }
    }

    /// Where its configuration and its data are.
    pub fn folder(&self) -> &std::path::Path {
        // It moves on only where the switch does.
        self.folder.as_ref().unwrap().path()
    }

    /// What it has written so far: JSON objects, and plain lines as strings.
    pub fn log(&self) -> Vec<Value> {
        self.log.lock().unwrap().clone()
    }

    /// Whether a line says `message`, as its message or anywhere in a plain line.
    pub fn has_logged(&self, message: &str) -> bool {
        let says = |entry: &Value| {
            let text = entry["fields"]["message"].as_str().or(entry.as_str());
            text.is_some_and(|text| text.contains(message))
        };
        self.log().iter().any(says)
    }

    /// Waits until a line says `message`.
    pub fn wait_for_log(&self, message: &str) {
        wait_until(message, || self.has_logged(message));
    }

    fn opened(&self) -> usize {
        let log = self.log();
        let messages = log.iter().map(|entry| &entry["fields"]["message"]);
        messages
            .filter(|message| *message == "listening" || *message == "connecting")
            .count()
    }

    /// Where a network listens.
    pub fn address(&self, network: &str) -> SocketAddr {
        let log = self.log();
        let line = log.iter().find(|entry| {
            let fields = &entry["fields"];
            fields["message"] == "listening" && fields["network"] == network
        });
        let line = line.unwrap_or_else(|| panic!("`{network}` does not listen: {log:?}"));
        line["fields"]["address"].as_str().unwrap().parse().unwrap()
    }

    /// Where the REST interface listens.
    pub fn http_address(&self) -> SocketAddr {
        let log = self.log();
        let line = log
            .iter()
            .find(|entry| entry["fields"]["message"] == "HTTP listening");
        let line = line.unwrap_or_else(|| panic!("the REST interface does not listen: {log:?}"));
        line["fields"]["address"].as_str().unwrap().parse().unwrap()
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// The number that a logged line has under `field`; that of the last such line.
    pub fn logged_number(&self, message: &str, field: &str) -> Option<u64> {
        let log = self.log();
        let mut lines = log.iter().rev().map(|entry| &entry["fields"]);
        lines.find(|fields| fields["message"] == message)?[field].as_u64()
    }

    /// Processor time that it has used, in hundredths of a second (Linux counts so).
    pub fn processor_ticks(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        // Behind the name in brackets: user time is the 12th field from there, system time the 13th.
        let fields: Vec<&str> = stat
            .rsplit(')')
            .next()
            .unwrap()
            .split_whitespace()
            .collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    }

    /// Asks it to stop, as an operator does (SIGTERM).
    pub fn process_id(&self) -> rustix::process::Pid {
        rustix::process::Pid::from_child(&self.child)
    }

    pub fn ask_to_stop(&self) {
        rustix::process::kill_process(self.process_id(), rustix::process::Signal::TERM).unwrap();
    }

    /// Waits until it has ended.
    pub fn wait_for_end(&mut self) -> ExitStatus {
        let mut status = None;
        wait_until("the switch ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        if let Some(reader) = self.log_reader.take() {
            reader.join().unwrap();
        }
        status.unwrap()
    }

    /// Asks it to stop and waits.
    pub fn stop(&mut self) -> ExitStatus {
        self.ask_to_stop();
        self.wait_for_end()
    }

    /// Stops it, and gives its folder away.
    pub fn into_folder(mut self) -> TempDir {
        self.stop();
        // It has not moved on yet.
        self.folder.take().unwrap()
    }

    /// Starts again in the folder of one that has ended.
    pub fn restart(mut self) -> Switch {
        let folder = self.folder.take().unwrap();
        Switch::start_under(&self.under, folder, &self.config)
    }

    /// As `restart`, and waits for nothing.
    pub fn respawn(mut self) -> Switch {
        let folder = self.folder.take().unwrap();
        Switch::spawn_under(&self.under, folder, &self.config)
    }

    /// As a power cut would (SIGKILL), then starts it again in the same folder.
    pub fn kill_and_restart(mut self) -> Switch {
        self.child.kill().unwrap();
        self.wait_for_end();
        let folder = self.folder.take().unwrap();
        Switch::start_under(&self.under, folder, &self.config)
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            for line in self.log() {
                eprintln!("switch: {line}");
            }
        }
    }
}
