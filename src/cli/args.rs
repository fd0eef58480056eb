//! What can be typed: the commands, their options, and the help texts.
//!
//! The help ends with tables from [`super::help`]. Nothing here looks at the world.

use std::ffi::OsString;
use std::time::Duration;

use argh::{ArgsInfo, EarlyExit, FromArgs};

use super::connection::Reach;
use super::help::{self, Reader};

/// Longest wait that can be asked for, seconds.
const TIMEOUT_MAX_S: f64 = 86_400.0;

/// What the arguments ask for.
#[derive(Debug)]
pub enum Parsed {
    /// A command.
    Run(Command),
    /// A text for standard output: help or the version.
    Show(String),
    /// What is wrong with them.
    Mistake(String),
}

/// Barnacle: an always-on AI-agent gateway for small boards.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    help_triggers("-h", "--help"),
    example = "{command_name} run                  start the gateway (leave it running)",
    example = "{command_name} chat \"hello\"         talk to it, from another terminal",
    example = "{command_name} health               is it well?",
    note = "`{command_name} help COMMAND` tells more about a command."
)]
struct Top {
    /// print the version
    #[argh(switch)]
    version: bool,
    #[argh(subcommand)]
    command: Option<Command>,
}

/// A command with its options.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(subcommand)]
pub enum Command {
    /// The gateway.
    Run(Run),
    /// A conversation.
    Chat(Chat),
    /// Is it well?
    Health(Health),
    /// What is it doing?
    Status(Status),
    /// Who may connect.
    Devices(Devices),
    /// Phones and machines that lend their commands.
    Nodes(Nodes),
    /// Services where people write.
    Channels(Channels),
    /// What agents did.
    Audit(Audit),
    /// Any method.
    Call(Call),
    /// The gateway under systemd.
    Service(Service),
    /// What is wrong?
    Doctor(Doctor),
    /// The log.
    Logs(Logs),
    /// A copy of everything.
    Backup(Backup),
    /// A copy brought back.
    Restore(Restore),
    /// Moving in.
    Import(Import),
    /// Another version.
    Update(Update),
}

/// Start the gateway; it runs until Ctrl-C or SIGTERM.
#[derive(FromArgs, ArgsInfo, Debug, Default)]
#[argh(
    subcommand,
    name = "run",
    help_triggers("-h", "--help"),
    example = "{command_name}\n{command_name} --port 19000 --state-dir /srv/barnacle",
    note = "Without a configuration file the defaults hold: this machine only, port 18789, and a random token\n\
            that is written to the file `token` in the state directory.\n\
            Everything else is set in the configuration file; SIGHUP reads it again."
)]
pub struct Run {
    /// configuration file (default: ~/.config/barnacle/barnacle.json)
    #[argh(option, arg_name = "FILE")]
    pub config: Option<String>,
    /// directory of everything that is written (default: ~/.local/state/barnacle)
    #[argh(option, arg_name = "DIR")]
    pub state_dir: Option<String>,
    /// port to listen on (default: gateway.port of the configuration, else 18789)
    #[argh(option, arg_name = "N")]
    pub port: Option<u16>,
    /// who can connect: loopback, lan, or an address of this machine (default: gateway.bind of the configuration, else loopback)
    #[argh(option, arg_name = "ADDR")]
    pub bind: Option<String>,
    /// shared token; others can see it in the process list, so prefer BARNACLE_TOKEN
    #[argh(option, arg_name = "T")]
    pub token: Option<String>,
}

/// Install, remove or look at the gateway as a service of systemd.
#[derive(FromArgs, ArgsInfo, Debug, Default)]
#[argh(
    subcommand,
    name = "service",
    help_triggers("-h", "--help"),
    example = "sudo {command_name} install --now\n{command_name} install --user\n{command_name} status",
    note = "ACTION is one of install, uninstall, status.\n\
            Installing writes unit files that run this very program, and starts nothing without --now.\n\
            Uninstalling keeps configuration and state. The exit code of status is 0 while the gateway runs."
)]
pub struct Service {
    /// what to do (default: status)
    #[argh(positional, arg_name = "ACTION")]
    pub words: Vec<String>,
    /// a service of your own, without root, instead of the machine's
    #[argh(switch)]
    pub user: bool,
    /// start it, now and at boot
    #[argh(switch)]
    pub now: bool,
}

/// A command that asks a running gateway: its own options, then those that say where it is.
macro_rules! client_command {
    ($(#[$meta:meta])* struct $name:ident { $($own:tt)* }) => {
        $(#[$meta])*
        pub struct $name {
            $($own)*
            /// where the gateway is: ws:// or wss:// (default: this machine, port of the configuration or 18789)
            #[argh(option, arg_name = "URL")]
            pub url: Option<String>,
            /// shared token (default: the configuration's, else the token file's); others can see it in the process list, so prefer BARNACLE_TOKEN
            #[argh(option, arg_name = "T")]
            pub token: Option<String>,
            /// shared password, for a gateway with a password
            #[argh(option, arg_name = "P")]
            pub password: Option<String>,
            /// the gateway's configuration file, for port and secret
            #[argh(option, arg_name = "FILE")]
            pub config: Option<String>,
            /// the gateway's state directory, for the token file
            #[argh(option, arg_name = "DIR")]
            pub state_dir: Option<String>,
            /// how many seconds to wait for an answer; 0.5 is possible
            #[argh(option, arg_name = "SECONDS", from_str_fn(seconds))]
            pub timeout: Option<Duration>,
        }

        impl $name {
            /// What was said about the gateway to ask.
            #[must_use]
            pub fn reach(&self) -> Reach {
                Reach {
                    url: self.url.clone(),
                    token: self.token.clone(),
                    password: self.password.clone(),
                    config: self.config.clone(),
                    state_dir: self.state_dir.clone(),
                    timeout: self.timeout,
                }
            }
        }
    };
}

client_command! {
    /// Talk to the agent: one message, or a conversation.
    #[derive(FromArgs, ArgsInfo, Debug, Default)]
    #[argh(
        subcommand,
        name = "chat",
        help_triggers("-h", "--help"),
        example = "{command_name}\n{command_name} what is the time in Lima\n\
                   {command_name} --session notes \"add milk to my list\"\n\
                   git diff | {command_name} --thinking high",
        note = "Without a message: a conversation when you type, else all of standard input is the message (up to 1 MiB).\n\
                Lines that begin with / go to the gateway as commands; /help lists them.\n\
                Ctrl-C stops a running answer; at the prompt it ends the conversation, as Ctrl-D does.\n\
                A message that begins with - goes after --. The default timeout is 900 seconds an answer."
    )]
    struct Chat {
        /// what to say
        #[argh(positional, arg_name = "MESSAGE")]
        pub message: Vec<String>,
        /// which conversation (default: main)
        #[argh(option, arg_name = "KEY", default = "\"main\".to_owned()")]
        pub session: String,
        /// how much to think: off, minimal, low, medium, high, xhigh (default: the session's)
        #[argh(option, arg_name = "LEVEL", from_str_fn(thinking))]
        pub thinking: Option<&'static str>,
    }
}

client_command! {
    /// Tell whether the gateway is well.
    #[derive(FromArgs, ArgsInfo, Debug, Default)]
    #[argh(
        subcommand,
        name = "health",
        help_triggers("-h", "--help"),
        example = "{command_name}\n{command_name} --json --timeout 2",
        note = "The exit code is 0 when all is well, 1 when something is degraded, 3 when there is no gateway.\n\
                The default timeout is 10 seconds."
    )]
    struct Health {
        /// print the gateway's answer as JSON
        #[argh(switch)]
        pub json: bool,
    }
}

client_command! {
    /// Tell what the gateway is doing: sessions, model, channels.
    #[derive(FromArgs, ArgsInfo, Debug, Default)]
    #[argh(
        subcommand,
        name = "status",
        help_triggers("-h", "--help"),
        example = "{command_name}\n{command_name} --json",
        note = "The default timeout is 10 seconds."
    )]
    struct Status {
        /// print the gateway's answer as JSON
        #[argh(switch)]
        pub json: bool,
    }
}

client_command! {
    /// Say who may connect: list devices, approve or reject those that wait, end their tokens.
    #[derive(FromArgs, ArgsInfo, Debug, Default)]
    #[argh(
        subcommand,
        name = "devices",
        help_triggers("-h", "--help"),
        example = "{command_name}\n{command_name} approve\n{command_name} approve 0e204080\n\
                   {command_name} revoke 6c8f8607 --role node",
        note = "ACTION is one of list, approve, reject, revoke, rotate, remove.\n\
                A device that connects for the first time waits five minutes for your approval; without an ID the only\n\
                one that waits is meant. The first characters of an ID are enough; a paired device's name will do too.\n\
                revoke cuts a device off until it is approved again, rotate gives it another token, remove forgets it."
    )]
    struct Devices {
        /// what to do (default: list), and with which request or device
        #[argh(positional, arg_name = "ACTION")]
        pub words: Vec<String>,
        /// which of the device's tokens: operator or node (default: its only one)
        #[argh(option, arg_name = "ROLE")]
        pub role: Option<String>,
        /// print the gateway's answer as JSON
        #[argh(switch)]
        pub json: bool,
    }
}

client_command! {
    /// List nodes, the phones and machines that lend their commands, and use them.
    #[derive(FromArgs, ArgsInfo, Debug, Default)]
    #[argh(
        subcommand,
        name = "nodes",
        help_triggers("-h", "--help"),
        example = "{command_name}\n{command_name} approve\n{command_name} describe Kitchen\n\
                   {command_name} rename 6c8f8607 Kitchen\n\
                   {command_name} invoke Kitchen camera.snap '{{\"facing\":\"front\"}}'",
        note = "ACTION is one of list, describe, invoke, rename, approve, reject.\n\
                A node is named by its name or the first characters of its ID."
    )]
    struct Nodes {
        /// what to do (default: list), with which node, and what the action needs
        #[argh(positional, arg_name = "ACTION")]
        pub words: Vec<String>,
        /// print the gateway's answer as JSON
        #[argh(switch)]
        pub json: bool,
    }
}

client_command! {
    /// List the services where people write, and let those in who wait for it.
    #[derive(FromArgs, ArgsInfo, Debug, Default)]
    #[argh(
        subcommand,
        name = "channels",
        help_triggers("-h", "--help"),
        example = "{command_name}\n{command_name} approve\n{command_name} approve K7M2PQ4X\n\
                   {command_name} remove telegram:77",
        note = "ACTION is one of list, approve, reject, remove, logout.\n\
                A stranger who writes to the agent gets a code and tells it to you; approve lets that person in. Without\n\
                a CODE the only one who waits is meant. A code lasts an hour.\n\
                remove CHANNEL:ID sends somebody away again; logout CHANNEL forgets the link to a service."
    )]
    struct Channels {
        /// what to do (default: list), and about whom or what
        #[argh(positional, arg_name = "ACTION")]
        pub words: Vec<String>,
        /// which account of the channel (default: its default one)
        #[argh(option, arg_name = "ID")]
        pub account: Option<String>,
        /// print the gateway's answer as JSON
        #[argh(switch)]
        pub json: bool,
    }
}

client_command! {
    /// Show what agents did with their tools: who asked, what was decided, what came of it.
    #[derive(FromArgs, ArgsInfo, Debug, Default)]
    #[argh(
        subcommand,
        name = "audit",
        help_triggers("-h", "--help"),
        example = "{command_name}\n{command_name} -n 100 --tool exec\n{command_name} --json",
        note = "The newest call stands last. The log itself is audit/tools.jsonl in the state directory."
    )]
    struct Audit {
        /// how many calls (default: 30)
        #[argh(option, short = 'n', arg_name = "COUNT")]
        pub number: Option<u64>,
        /// only calls of this tool
        #[argh(option, arg_name = "NAME")]
        pub tool: Option<String>,
        /// only calls of this conversation
        #[argh(option, arg_name = "KEY")]
        pub session: Option<String>,
        /// print the gateway's answer as JSON
        #[argh(switch)]
        pub json: bool,
    }
}

client_command! {
    /// Call any method of the gateway and print its answer as JSON.
    #[derive(FromArgs, ArgsInfo, Debug, Default)]
    #[argh(
        subcommand,
        name = "call",
        help_triggers("-h", "--help"),
        example = "{command_name} sessions.list '{{\"limit\":5}}'\n{command_name} config.get\n\
                   {command_name} chat.history '{{\"sessionKey\":\"main\"}}' --compact\n\
                   {command_name} agent - < params.json",
        note = "The answer is indented on a terminal and one line elsewhere; an error is one line on standard error.\n\
                Some methods answer twice, first `accepted`, then the result: the result is printed.\n\
                The default timeout is 30 seconds for an answer, and 660 for a result after `accepted`."
    )]
    struct Call {
        /// the method, such as health, and its params as JSON; - reads them from standard input
        #[argh(positional, arg_name = "METHOD")]
        pub words: Vec<String>,
        /// list every method, who may call it and what it does; asks no gateway
        #[argh(switch)]
        pub list: bool,
        /// print one line, also on a terminal
        #[argh(switch)]
        pub compact: bool,
        /// print the first answer of a method that answers twice
        #[argh(switch)]
        pub first: bool,
    }
}

/// Everything that can be typed, as data: for the manual page and the shells' completions.
#[must_use]
pub fn definition() -> argh::CommandInfoWithArgs {
    Top::get_args_info()
}

client_command! {
    /// Look for what is wrong, and say for each finding what mends it.
    #[derive(FromArgs, ArgsInfo, Debug, Default)]
    #[argh(
        subcommand,
        name = "doctor",
        help_triggers("-h", "--help"),
        example = "{command_name}\n{command_name} --fix\n\
                   sudo {command_name} --config /etc/barnacle/barnacle.json --state-dir /var/lib/barnacle",
        note = "It looks at files and the machine, and asks the gateway when it runs. Nothing is changed without --fix,\n\
                and with it only what is safe: permissions, missing directories, left-over files.\n\
                The exit code is 0 when nothing has failed, 1 otherwise."
    )]
    struct Doctor {
        /// mend what can be mended safely
        #[argh(switch)]
        pub fix: bool,
        /// print the findings as JSON
        #[argh(switch)]
        pub json: bool,
    }
}

client_command! {
    /// Show the log: the gateway's while it runs, else what is in the files.
    #[derive(FromArgs, ArgsInfo, Debug, Default)]
    #[argh(
        subcommand,
        name = "logs",
        help_triggers("-h", "--help"),
        example = "{command_name}\n{command_name} -f --level warn\n{command_name} -n 1000 --json",
        note = "LEVEL is one of error, warn, info, debug, trace: that one and what is more important.\n\
                With -f it goes on until Ctrl-C, also when the log begins a new file or the gateway restarts.\n\
                Times are in UTC."
    )]
    struct Logs {
        /// go on with what comes
        #[argh(switch, short = 'f')]
        pub follow: bool,
        /// how many lines to begin with (default: 50)
        #[argh(option, short = 'n', arg_name = "N", default = "50")]
        pub lines: usize,
        /// least important level that is shown (default: all that was written)
        #[argh(option, arg_name = "LEVEL", from_str_fn(level))]
        pub level: Option<log::Level>,
        /// print the lines as they are in the file
        #[argh(switch)]
        pub json: bool,
    }
}

client_command! {
    /// Put another version in place, from a file, and go back when it doesn't work.
    #[derive(FromArgs, ArgsInfo, Debug, Default)]
    #[argh(
        subcommand,
        name = "update",
        help_triggers("-h", "--help"),
        example = "{command_name} ./barnacle-0.2.0 --check\nsudo {command_name} ./barnacle-0.2.0\n\
                   sudo {command_name} barnacle_0.2.0_arm64.deb",
        note = "FILE is a program for this machine, or a package where the gateway came as a package. Nothing is downloaded.\n\
                The old program is kept beside it as barnacle.old. The service is restarted and has to answer within a\n\
                minute; if it doesn't, the old program is put back and started again.\n\
                Settings of the gateway's place are needed where they aren't the usual ones: --config, --state-dir, --url."
    )]
    struct Update {
        /// the new program or package
        #[argh(positional, arg_name = "FILE")]
        pub file: Option<String>,
        /// only say what is in place and whether the file would do
        #[argh(switch)]
        pub check: bool,
    }
}

/// Write configuration and state into one file, while the gateway runs or not.
#[derive(FromArgs, ArgsInfo, Debug, Default)]
#[argh(
    subcommand,
    name = "backup",
    help_triggers("-h", "--help"),
    example = "{command_name} barnacle-monday.tar.gz\n\
               sudo {command_name} /media/stick/barnacle.tar.gz --config /etc/barnacle/barnacle.json --state-dir /var/lib/barnacle",
    note = "Tokens and keys are in it, so only you may read the file: keep it where nobody else can.\n\
            Logs are not in it. The file must not exist yet."
)]
pub struct Backup {
    /// the file to write, a tar.gz
    #[argh(positional, arg_name = "FILE")]
    pub file: String,
    /// the gateway's configuration file
    #[argh(option, arg_name = "FILE")]
    pub config: Option<String>,
    /// the gateway's state directory
    #[argh(option, arg_name = "DIR")]
    pub state_dir: Option<String>,
}

/// Bring a backup back, in place of what is there.
#[derive(FromArgs, ArgsInfo, Debug, Default)]
#[argh(
    subcommand,
    name = "restore",
    help_triggers("-h", "--help"),
    example = "{command_name} barnacle-monday.tar.gz --dry-run\n{command_name} barnacle-monday.tar.gz",
    note = "Stop the gateway first. Every byte is checked before anything is touched.\n\
            What was there is kept beside it as .before-restore-TIME."
)]
pub struct Restore {
    /// the backup
    #[argh(positional, arg_name = "FILE")]
    pub file: String,
    /// check it and tell what is in it, but change nothing
    #[argh(switch)]
    pub dry_run: bool,
    /// where the configuration file goes
    #[argh(option, arg_name = "FILE")]
    pub config: Option<String>,
    /// where the state goes
    #[argh(option, arg_name = "DIR")]
    pub state_dir: Option<String>,
}

/// Move in from a Clawdbot or OpenClaw on this machine.
#[derive(FromArgs, ArgsInfo, Debug, Default)]
#[argh(
    subcommand,
    name = "import",
    help_triggers("-h", "--help"),
    example = "{command_name}\n{command_name} --apply\n{command_name} /mnt/old/home/pi/.clawdbot --apply",
    note = "Without --apply it only tells what it would take. The other directory is never changed.\n\
            Stop both gateways before --apply. Paired phones stay paired."
)]
pub struct Import {
    /// the other gateway's directory (default: ~/.openclaw or ~/.clawdbot)
    #[argh(positional, arg_name = "DIR")]
    pub dir: Option<String>,
    /// do it
    #[argh(switch)]
    pub apply: bool,
    /// add to a state that is there already; what it has stays as it is
    #[argh(switch)]
    pub merge: bool,
    /// where the configuration file goes
    #[argh(option, arg_name = "FILE")]
    pub config: Option<String>,
    /// where the state goes
    #[argh(option, arg_name = "DIR")]
    pub state_dir: Option<String>,
}

/// Reads the arguments, without the program's name.
#[must_use]
pub fn parse(arguments: &[OsString]) -> Parsed {
    let mut texts = Vec::with_capacity(arguments.len());
    for argument in arguments {
        let Some(text) = argument.to_str() else {
            return Parsed::Mistake(format!("an argument is not UTF-8: {}", argument.to_string_lossy()));
        };
        texts.push(text.to_owned());
    }
    let texts = usual_spellings(texts);
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let named = texts.first().copied().unwrap_or_default();
    match Top::from_args(&["barnacle"], &texts) {
        Ok(Top { version: true, .. }) => Parsed::Show(format!("barnacle {}\n", crate::VERSION)),
        Ok(Top { command: Some(command), .. }) => Parsed::Run(command),
        Ok(Top { command: None, .. }) => match Top::from_args(&["barnacle"], &["--help"]) {
            Err(EarlyExit { output, .. }) => Parsed::Show(output + &help::tail(Reader::Program)),
            Ok(_) => Parsed::Mistake("no command given".to_owned()),
        },
        Err(EarlyExit { output, status: Ok(()) }) => Parsed::Show(output + &help::tail(reader(named))),
        Err(EarlyExit { output, status: Err(()) }) => Parsed::Mistake(mistake(&output, named)),
    }
}

fn reader(command: &str) -> Reader {
    match command {
        "run" => Reader::Run,
        "audit" | "call" | "channels" | "chat" | "devices" | "doctor" | "health" | "logs" | "nodes" | "status"
        | "update" => Reader::Client,
        _ => Reader::Program,
    }
}

/// The parser's complaint in one line, and where to read on.
fn mistake(output: &str, command: &str) -> String {
    let complaint: Vec<&str> = output.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let more = match reader(command) {
        Reader::Program => "barnacle --help".to_owned(),
        Reader::Run | Reader::Client => format!("barnacle {command} --help"),
    };
    format!("{} (see `{more}`)", complaint.join(" "))
}

/// Turns what people also type into what the parser knows: `help COMMAND`, `--option=value`, `-V`,
/// and a lone `-`, which the parser would take for an option.
fn usual_spellings(arguments: Vec<String>) -> Vec<String> {
    let mut arguments = arguments.into_iter().peekable();
    let mut out = Vec::new();
    let mut dashes = Vec::new();
    if arguments.peek().is_some_and(|first| matches!(first.as_str(), "help" | "-h" | "--help")) {
        arguments.next();
        out.extend(arguments.next());
        out.push("--help".to_owned());
        return out;
    }
    while let Some(argument) = arguments.next() {
        if argument == "--" {
            out.push(argument);
            out.append(&mut dashes);
            out.extend(arguments);
            return out;
        }
        if argument == "-V" {
            out.push("--version".to_owned());
        } else if argument == "-" {
            dashes.push(argument);
        } else if let Some((name, value)) = argument.split_once('=').filter(|(name, _)| name.starts_with("--")) {
            out.push(name.to_owned());
            out.push(value.to_owned());
        } else {
            out.push(argument);
        }
    }
    if !dashes.is_empty() {
        out.push("--".to_owned());
        out.append(&mut dashes);
    }
    out
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds <= TIMEOUT_MAX_S => Ok(Duration::from_secs_f64(seconds)),
        _ => Err(format!("expected seconds, more than 0 and at most {TIMEOUT_MAX_S}")),
    }
}

fn level(text: &str) -> Result<log::Level, String> {
    text.parse().map_err(|_| "expected one of error, warn, info, debug, trace".to_owned())
}

fn thinking(text: &str) -> Result<&'static str, String> {
    use crate::wire::thinking::ThinkingLevel;
    let names = || ThinkingLevel::ALL.map(ThinkingLevel::name).join(", ");
    ThinkingLevel::parse(text).map(ThinkingLevel::name).ok_or_else(|| format!("expected one of {}", names()))
}

#[cfg(test)]
#[path = "args_tests.rs"]
mod tests;
