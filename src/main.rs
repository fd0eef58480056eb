//! The `barnacle` program.

fn main() {
    let env = std::env::vars().collect();
    let args: Vec<String> = std::env::args().collect();
    let get = |name: &str| args.iter().position(|a| a == name).and_then(|i| args.get(i + 1)).cloned();
    let options = barnacle::serve::Options {
        config: get("--config"),
        state_dir: get("--state-dir"),
        port: get("--port").and_then(|p| p.parse().ok()),
        bind: get("--bind"),
        token: get("--token"),
    };
    if let Err(error) = barnacle::serve::serve(&options, &env) {
        eprintln!("{error}");
        std::process::exit(1);
    }
}
