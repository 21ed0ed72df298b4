//! Stopping and starting a test's private Postgres.

use crate::fixture::Fixture;
use sqlx::{Connection, PgConnection, Row};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub const DEADLINE: Duration = Duration::from_secs(60);

/// A server that this test started itself, ended with the test.
pub struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        interrupt(self.0.id());
        let _ = self.0.wait();
    }
}

/// What is needed to start a stopped server again.
pub struct Stopped {
    program: PathBuf,
    data: PathBuf,
    port: String,
}

/// SIGINT: a fast shutdown, which breaks off all sessions.
fn interrupt(process: u32) {
    let status = Command::new("kill")
        .args(["-INT", &process.to_string()])
        .status();
    assert!(status.unwrap().success());
}

pub async fn stop(fixture: &Fixture) -> Stopped {
    let mut connection = PgConnection::connect(&fixture.url).await.unwrap();
    let data: String = sqlx::query("SHOW data_directory")
        .fetch_one(&mut connection)
        .await
        .unwrap()
        .get(0);
    let data = PathBuf::from(data);
    let pid_file = data.join("postmaster.pid");
    let lines = std::fs::read_to_string(&pid_file).unwrap();
    let lines: Vec<&str> = lines.lines().collect();
    let program = std::fs::read_link(format!("/proc/{}/exe", lines[0])).unwrap();
    interrupt(lines[0].parse().unwrap());
    let deadline = Instant::now() + DEADLINE;
    while pid_file.exists() {
        assert!(Instant::now() < deadline, "Postgres does not stop");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Stopped {
        program,
        data,
        port: lines[3].to_owned(),
    }
}

pub async fn start(stopped: &Stopped, fixture: &Fixture, settings: &[&str]) -> Server {
    let owner = std::fs::metadata(&stopped.data).unwrap();
    let mut command = Command::new(&stopped.program);
    command
        .arg("-D")
        .arg(&stopped.data)
        .args(["-p", &stopped.port])
        .args(settings.iter().flat_map(|setting| ["-c", setting]))
        .current_dir(&stopped.data)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    // Postgres refuses to run as root; its folder's owner may.
    if std::fs::metadata("/proc/self").unwrap().uid() == 0 {
        command.uid(owner.uid()).gid(owner.gid());
    }
    let server = Server(command.spawn().unwrap());
    let deadline = Instant::now() + DEADLINE;
    while PgConnection::connect(&fixture.url).await.is_err() {
        assert!(Instant::now() < deadline, "Postgres does not start again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    server
}
