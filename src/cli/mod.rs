//! The command line: starts the gateway, or asks a running one.
//!
//! [`args`] says what can be typed, [`help`] adds the tables that every help text ends with,
//! [`exit`] has the exit codes. `run` is the gateway itself, [`service`] hands it to systemd; all other commands are
//! clients of the native dialect: [`connection`] finds where to and with which secret, [`dial`] opens the stream,
//! [`client`] speaks the protocol, and [`call`], [`chat`], [`health`], [`status`], [`devices`], [`nodes`],
//! [`channels`] and [`audit`] use it. A turn of
//! a chat is a machine ([`turn`], [`growth`]) that [`chat`] drives; [`prompt`] is the conversation. Clients
//! share nothing with a gateway in the same process: they only know the wire. [`manual`] prints the manual page.
//! [`doctor`], [`logs`], [`backup`], [`moving`] and [`update`] also work without a gateway.

pub mod args;
pub mod audit;
pub mod backup;
pub mod call;
pub mod channels;
pub mod chat;
pub mod client;
pub mod client_error;
pub mod configured;
pub mod connection;
pub mod console;
pub mod devices;
pub mod dial;
pub mod doctor;
pub mod endpoint;
pub mod exit;
pub mod growth;
pub mod health;
pub mod help;
pub mod input;
pub mod json;
pub mod logs;
pub mod manual;
pub mod moving;
pub mod nodes;
pub mod prompt;
pub mod run;
pub mod service;
mod service_status;
mod service_units;
pub mod status;
pub mod summary;
mod table;
pub mod turn;
pub mod update;

#[cfg(test)]
mod fake;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::process::ExitCode;
use std::rc::Rc;

use crate::sys::Clock;
use crate::sys::clock::RealClock;
use crate::sys::sandbox;
use args::{Command, Parsed};
use connection::{Reach, Target};
use console::Console;
use exit::{Exit, Failure};

/// The process's environment, as far as it is UTF-8.
pub type Environment = BTreeMap<String, String>;

/// Runs what the arguments (without the program's name) ask for.
#[must_use]
pub fn main(arguments: Vec<OsString>, environment: Environment) -> ExitCode {
    let mut console = Console::real(&environment);
    if let Some((first, rest)) = arguments.split_first().filter(|(first, _)| *first == sandbox::COMMAND) {
        // Not for people: the gateway starts itself like this for the commands of its agents.
        let refused = sandbox::become_program(rest);
        console.failure(&Failure::new(Exit::Failed, format!("{}: {refused}", first.to_string_lossy())));
        return ExitCode::from(sandbox::FAILED);
    }
    let clock: Rc<dyn Clock> = Rc::new(RealClock::start());
    let target = |reach: &Reach| Target::find(reach, &environment).map_err(Failure::usage);
    let outcome =
        match args::parse(&arguments) {
            Parsed::Run(Command::Run(args)) => return run::run(args, &environment),
            Parsed::Run(Command::Call(args)) => target(&args.reach())
                .and_then(|target| smol::block_on(call::call(&args, &target, &clock, &mut console))),
            Parsed::Run(Command::Chat(args)) => {
                target(&args.reach()).and_then(|target| smol::block_on(chat::chat(&args, target, clock, &mut console)))
            }
            Parsed::Run(Command::Health(args)) => target(&args.reach())
                .and_then(|target| smol::block_on(health::health(&args, &target, &clock, &mut console))),
            Parsed::Run(Command::Status(args)) => target(&args.reach())
                .and_then(|target| smol::block_on(status::status(&args, &target, &clock, &mut console))),
            Parsed::Run(Command::Devices(args)) => target(&args.reach())
                .and_then(|target| smol::block_on(devices::devices(&args, &target, &clock, &mut console))),
            Parsed::Run(Command::Nodes(args)) => target(&args.reach())
                .and_then(|target| smol::block_on(nodes::nodes(&args, &target, &clock, &mut console))),
            Parsed::Run(Command::Channels(args)) => target(&args.reach())
                .and_then(|target| smol::block_on(channels::channels(&args, &target, &clock, &mut console))),
            Parsed::Run(Command::Audit(args)) => target(&args.reach())
                .and_then(|target| smol::block_on(audit::audit(&args, &target, &clock, &mut console))),
            Parsed::Run(Command::Service(args)) => {
                smol::block_on(service::service(&args, &environment, &clock, &mut console))
            }
            Parsed::Run(Command::Logs(args)) => target(&args.reach())
                .and_then(|target| smol::block_on(logs::logs(&args, &target, &environment, &clock, &mut console))),
            Parsed::Run(Command::Backup(args)) => backup::backup(&args, &environment, &*clock, &mut console),
            Parsed::Run(Command::Restore(args)) => backup::restore(&args, &environment, &*clock, &mut console),
            Parsed::Run(Command::Doctor(args)) => target(&args.reach())
                .and_then(|target| doctor::doctor(&args, &target, &environment, &clock, &mut console)),
            Parsed::Run(Command::Import(args)) => moving::import(&args, &environment, &mut console),
            Parsed::Run(Command::Update(args)) => target(&args.reach())
                .and_then(|target| update::update(&args, &target, &environment, &clock, &mut console)),
            Parsed::Show(text) => console.print(&text),
            Parsed::Mistake(text) => Err(Failure::usage(text)),
        };
    match outcome {
        Ok(()) => Exit::Ok.into(),
        Err(failure) => {
            console.failure(&failure);
            failure.exit.into()
        }
    }
}
