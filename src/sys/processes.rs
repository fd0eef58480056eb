//! Other programs: a seam with a real implementation and a scripted one ([`super::sim`]).
//!
//! A program is started by its list of arguments, never through a shell, in a process group of its own, with nothing
//! on its input and only a few harmless variables in its environment. Its output and its time are bounded; at the end
//! nothing of its group is left. No thread is started: the pipes and the end of the process (a pidfd) are waited for
//! by the same reactor as sockets.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use smol::Async;
use smol::future::{or, zip};
use smol::io::{AsyncRead, AsyncReadExt as _};

use super::sandbox::Sandbox;
use super::{Clock, LocalFuture};
use crate::limits::{PROCESS_LINE_BYTES, PROCESSES};

/// Variables that a program is given, beside those that its caller names.
const VARIABLES: [&str; 9] = ["PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR"];
/// How long output is waited for after the end of a program whose own children keep the pipe open.
const LINGER: Duration = Duration::from_millis(500);
/// Pause between two looks at a process where the system tells nothing by itself.
const LOOK: Duration = Duration::from_millis(50);

/// This very program.
const OURSELVES: &str = "/proc/self/exe";

/// Hears of each line of output as it comes.
pub type OnLine = Rc<dyn Fn(&str)>;

/// What to run.
#[derive(Clone)]
pub struct Program {
    /// The program, a name on PATH or an absolute path, and its arguments.
    pub argv: Vec<String>,
    /// Where it runs; the gateway's own directory when `None`.
    pub dir: Option<PathBuf>,
    /// Further variables.
    pub env: Vec<(String, String)>,
    /// Longest time; then its whole group is killed.
    pub limit: Duration,
    /// Most bytes that are kept of its output, and of its error output: the last ones.
    pub output_bytes: usize,
    /// Who hears of its lines.
    pub on_line: Option<OnLine>,
    /// The cage that it runs in, if any. The kernel has to provide it, or nothing runs.
    pub sandbox: Option<Sandbox>,
}

impl fmt::Debug for Program {
    /// Neither arguments nor variables: they may hold what nobody should read.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Program").field("name", &self.argv.first()).field("limit", &self.limit).finish_non_exhaustive()
    }
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// How it ended.
    pub ending: Ending,
    /// Its output.
    pub stdout: String,
    /// Its error output.
    pub stderr: String,
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// By itself, with this code.
    Exited(i32),
    /// By a signal.
    Killed,
    /// It took too long and was killed.
    TimedOut,
}

impl Finished {
    /// Whether it ended by itself and says that all is well.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.ending == Ending::Exited(0)
    }
}

/// Why nothing was run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProcessError {
    /// No such program on PATH.
    NotFound(String),
    /// As many programs as may run are running.
    Busy,
    /// What the system says.
    System(io::ErrorKind),
}

impl fmt::Display for ProcessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound(name) => write!(f, "{name} is not installed"),
            Self::Busy => write!(f, "{PROCESSES} programs are running already"),
            Self::System(kind) => write!(f, "the program can't be run: {kind}"),
        }
    }
}

impl std::error::Error for ProcessError {}

/// Runs programs.
pub trait Processes: fmt::Debug {
    /// The file of a program: one on PATH, or an absolute path that may be executed.
    fn which(&self, name: &str) -> Option<PathBuf>;

    /// Runs a program to its end. Dropping the future kills it and everything that it has started.
    fn run(&self, program: Program) -> LocalFuture<'static, Result<Finished, ProcessError>>;
}

/// The machine's programs. Cloning shares them.
#[derive(Debug, Clone)]
pub struct RealProcesses(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    clock: Rc<dyn Clock>,
    env: BTreeMap<String, String>,
    going: Cell<usize>,
    /// Killed ones whose end the system hasn't told yet.
    dying: RefCell<Vec<Child>>,
}

impl RealProcesses {
    /// `env` is the process's environment; programs see little of it.
    #[must_use]
    pub fn new(clock: Rc<dyn Clock>, env: &BTreeMap<String, String>) -> Self {
        let env = VARIABLES.iter().filter_map(|name| Some(((*name).to_owned(), env.get(*name)?.clone()))).collect();
        Self(Rc::new(Inner { clock, env, going: Cell::new(0), dying: RefCell::default() }))
    }
}

impl Processes for RealProcesses {
    fn which(&self, name: &str) -> Option<PathBuf> {
        if name.starts_with('/') {
            return Some(PathBuf::from(name)).filter(|path| is_executable(path));
        }
        if name.is_empty() || name.contains('/') {
            return None;
        }
        let dirs = self.0.env.get("PATH").map(String::as_str).unwrap_or_default().split(':');
        dirs.filter(|dir| dir.starts_with('/')).map(|dir| Path::new(dir).join(name)).find(|path| is_executable(path))
    }

    fn run(&self, program: Program) -> LocalFuture<'static, Result<Finished, ProcessError>> {
        let processes = self.clone();
        Box::pin(async move {
            let name = program.argv.first().cloned().unwrap_or_default();
            let path = processes.which(&name).ok_or(ProcessError::NotFound(name))?;
            run(&processes.0, &path, program).await
        })
    }
}

fn is_executable(path: &Path) -> bool {
    path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
}

async fn run(inner: &Rc<Inner>, path: &Path, program: Program) -> Result<Finished, ProcessError> {
    let system = |error: io::Error| ProcessError::System(error.kind());
    inner.dying.borrow_mut().retain_mut(|child| matches!(child.try_wait(), Ok(None)));
    if inner.going.get() + inner.dying.borrow().len() >= PROCESSES {
        return Err(ProcessError::Busy);
    }
    #[allow(clippy::disallowed_methods, reason = "this is the place that processes belong to")]
    let mut command = match &program.sandbox {
        None => Command::new(path),
        Some(sandbox) => {
            let mut command = Command::new(OURSELVES);
            command.args(sandbox.arguments(path));
            command
        }
    };
    command.args(program.argv.iter().skip(1)).env_clear().envs(&inner.env);
    command.envs(program.env.iter().map(|(name, value)| (name, value)));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    if let Some(dir) = &program.dir {
        command.current_dir(dir);
    }
    let mut started = Started::new(inner, command.spawn().map_err(system)?);
    let (stdout, stderr) = started.pipes().map_err(system)?;
    let (out, err) = (Kept::new(&program), Kept::new(&program));
    let reading = async {
        zip(out.fill(stdout), err.fill(stderr)).await;
    };
    let clock = Rc::clone(&inner.clock);
    let gone = started.gone();
    let work = async {
        // Whichever is first: the pipes end before the process, or outlive it in the hands of its children.
        let ended = Cell::new(false);
        let end = async {
            gone.await;
            ended.set(true);
        };
        let mut end = Box::pin(end);
        let linger = async {
            end.as_mut().await;
            clock.sleep(LINGER).await;
        };
        or(reading, linger).await;
        if !ended.get() {
            end.await;
        }
    };
    let in_time = inner.clock.timeout(program.limit, work).await.is_ok();
    started.kill();
    let ending = match started.code() {
        _ if !in_time => Ending::TimedOut,
        Some(code) => Ending::Exited(code),
        None => Ending::Killed,
    };
    Ok(Finished { ending, stdout: out.text(), stderr: err.text() })
}

/// A process that is going; dropped, it is killed.
struct Started {
    inner: Rc<Inner>,
    pid: Pid,
    child: Option<Child>,
}

impl Started {
    fn new(inner: &Rc<Inner>, child: Child) -> Self {
        inner.going.set(inner.going.get() + 1);
        Self { inner: Rc::clone(inner), pid: Pid::from_child(&child), child: Some(child) }
    }

    fn pipes(&mut self) -> io::Result<(Async<std::process::ChildStdout>, Async<std::process::ChildStderr>)> {
        let missing = || io::Error::from(io::ErrorKind::BrokenPipe);
        let child = self.child.as_mut().ok_or_else(missing)?;
        let (stdout, stderr) = (child.stdout.take().ok_or_else(missing)?, child.stderr.take().ok_or_else(missing)?);
        Ok((Async::new(stdout)?, Async::new(stderr)?))
    }

    /// Resolves when the process has ended; it stays to be waited for, so that its number isn't given to another.
    fn gone(&self) -> impl Future<Output = ()> + 'static {
        let (pid, clock) = (self.pid, Rc::clone(&self.inner.clock));
        async move {
            #[cfg(target_os = "linux")]
            {
                use rustix::process::{PidfdFlags, pidfd_open};
                let descriptor = pidfd_open(pid, PidfdFlags::empty()).map_err(io::Error::from);
                if let Ok(descriptor) = descriptor.and_then(Async::new_nonblocking) {
                    if descriptor.readable().await.is_ok() {
                        return;
                    }
                }
            }
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
            while matches!(waitid(WaitId::Pid(pid), options), Ok(None)) {
                clock.sleep(LOOK).await;
            }
        }
    }

    /// Kills what is left of the group. Only before the process has been waited for.
    fn kill(&self) {
        // A group without members is no trouble.
        let _ = kill_process_group(self.pid, Signal::KILL);
    }

    /// Its code, if it ended by itself.
    fn code(&mut self) -> Option<i32> {
        let status = self.child.as_mut()?.try_wait().ok()??;
        self.child = None;
        status.code()
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        self.inner.going.set(self.inner.going.get().saturating_sub(1));
        if let Some(mut child) = self.child.take() {
            self.kill();
            if matches!(child.try_wait(), Ok(None)) {
                self.inner.dying.borrow_mut().push(child);
            }
        }
    }
}

/// The last bytes of an output.
struct Kept {
    bytes: RefCell<VecDeque<u8>>,
    bytes_max: usize,
    on_line: Option<OnLine>,
}

impl Kept {
    fn new(program: &Program) -> Self {
        Self { bytes: RefCell::default(), bytes_max: program.output_bytes, on_line: program.on_line.clone() }
    }

    async fn fill(&self, mut pipe: impl AsyncRead + Unpin) {
        let mut buffer = vec![0; 4096];
        let mut line = Vec::new();
        // A pipe that breaks has said all that it will.
        while let Ok(count) = pipe.read(&mut buffer).await {
            let piece = buffer.get(..count).unwrap_or_default();
            if piece.is_empty() {
                break;
            }
            // A program that never stops talking must not keep its time limit, and everybody else, from their turn.
            smol::future::yield_now().await;
            let mut bytes = self.bytes.borrow_mut();
            bytes.extend(piece);
            let excess = bytes.len().saturating_sub(self.bytes_max);
            bytes.drain(..excess);
            drop(bytes);
            self.tell(&mut line, piece);
        }
        self.tell(&mut line, b"\n");
    }

    fn tell(&self, line: &mut Vec<u8>, piece: &[u8]) {
        let Some(on_line) = &self.on_line else { return };
        for byte in piece {
            if matches!(byte, b'\n' | b'\r') {
                let text = String::from_utf8_lossy(line);
                if !text.trim().is_empty() {
                    on_line(text.trim());
                }
                line.clear();
            } else if line.len() < PROCESS_LINE_BYTES {
                line.push(*byte);
            }
        }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(self.bytes.borrow_mut().make_contiguous()).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::clock::RealClock;

    fn processes() -> RealProcesses {
        let pairs = [("PATH", "/usr/local/bin:/usr/bin:/bin"), ("SECRET_KEY", "hush"), ("HOME", "/tmp")];
        let env = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        RealProcesses::new(Rc::new(RealClock::start()), &env)
    }

    fn shell(script: &str, limit_ms: u64) -> Program {
        Program {
            argv: ["sh", "-c", script].map(str::to_owned).into(),
            dir: None,
            env: vec![("MINE".into(), "yes".into())],
            limit: Duration::from_millis(limit_ms),
            output_bytes: 64,
            on_line: None,
            sandbox: None,
        }
    }

    fn run(processes: &RealProcesses, program: Program) -> Result<Finished, ProcessError> {
        let executor = smol::LocalExecutor::new();
        smol::block_on(executor.run(processes.run(program)))
    }

    #[test]
    fn output_and_code_are_told_and_the_environment_is_small() {
        let processes = processes();
        let finished = run(&processes, shell("echo out $MINE $SECRET_KEY; echo err >&2; exit 3", 10_000)).unwrap();
        let expected = Finished { ending: Ending::Exited(3), stdout: "out yes\n".into(), stderr: "err\n".into() };
        assert_eq!(finished, expected);
        assert!(!finished.is_success());
        assert_eq!(run(&processes, shell("kill -9 $$", 10_000)).unwrap().ending, Ending::Killed);
    }

    #[test]
    fn the_last_bytes_of_long_output_are_kept_and_every_line_is_told() {
        let lines = Rc::new(RefCell::new(Vec::new()));
        let told = Rc::clone(&lines);
        let program = Program {
            on_line: Some(Rc::new(move |line| told.borrow_mut().push(line.to_owned()))),
            ..shell("i=0; while [ $i -lt 200 ]; do echo line $i; i=$((i+1)); done; printf end", 10_000)
        };
        let finished = run(&processes(), program).unwrap();
        assert!(finished.stdout.len() <= 64 && finished.stdout.ends_with("line 199\nend"), "{}", finished.stdout);
        assert_eq!((lines.borrow().len(), lines.borrow()[200].as_str()), (201, "end"));
    }

    #[test]
    fn a_program_over_its_time_is_killed_with_its_children() {
        let processes = processes();
        let finished = run(&processes, shell("sleep 60 & echo $!; sleep 60", 200)).unwrap();
        assert_eq!(finished.ending, Ending::TimedOut);
        let pid = finished.stdout.trim().to_owned();
        let is_running = || {
            let state = run(&processes, shell(&format!("ps -o stat= -p {pid} || true"), 5000)).unwrap().stdout;
            !state.trim().is_empty() && !state.trim().starts_with('Z')
        };
        assert!(!is_running());
        assert_eq!(processes.0.going.get(), 0);
    }

    #[test]
    fn a_child_that_keeps_the_pipe_open_does_not_keep_the_caller() {
        let finished = run(&processes(), shell("sleep 60 & echo done", 30_000)).unwrap();
        assert_eq!((finished.ending, finished.stdout.as_str()), (Ending::Exited(0), "done\n"));
    }

    #[test]
    fn programs_are_found_on_the_path_alone() {
        let processes = processes();
        assert!(processes.which("sh").is_some() && processes.which("/bin/sh").is_some());
        for name in ["", "no-such-program", "../bin/sh", "bin/sh", "/etc/passwd", "/bin"] {
            assert_eq!(processes.which(name), None, "{name}");
        }
        let missing = Program { argv: vec!["no-such-program".into()], ..shell("", 1000) };
        assert_eq!(run(&processes, missing), Err(ProcessError::NotFound("no-such-program".into())));
    }
}
