//! Skills as an agent and an owner meet them.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use super::install::Outcome;
use super::*;
use crate::stores::bench::Bench;
use crate::sys::http::HttpError;
use crate::sys::processes::{Ending, Finished};
use crate::sys::sim::http::Script;
use crate::sys::sim::{ScriptedHttp, ScriptedProcesses};

struct Home {
    bench: Bench,
    sys: Sys,
    places: Places,
    programs: ScriptedProcesses,
}

fn home(play: impl Fn(&crate::sys::processes::Program) -> (Duration, Finished) + 'static) -> Home {
    let bench = Bench::new(1);
    let programs = ScriptedProcesses::new(&bench.world.clock, &["curl", "npm", "uv", "tar"], play);
    let sys = Sys { processes: Rc::new(programs.clone()), ..bench.sys.clone() };
    let places = Places { config_file: "/c/barnacle.json".into(), state_dir: "/s".into() };
    Home { bench, sys, places, programs }
}

fn quiet() -> Home {
    home(|_| (Duration::ZERO, Finished { ending: Ending::Exited(0), stdout: String::new(), stderr: String::new() }))
}

impl Home {
    fn put(&self, dir: &str, text: &str) {
        self.sys.files.create_dir(Path::new(dir)).unwrap();
        self.sys.files.append(&Path::new(dir).join(FILE), text.as_bytes()).unwrap();
    }

    fn config(&self, text: &str) -> Config {
        let env = BTreeMap::from([("HAVE".to_owned(), "1".to_owned())]);
        Config::parse(text, "barnacle.json", &env).unwrap().0
    }

    fn list(&self, config: &Config) -> Vec<Skill> {
        list(&self.sys, config, &self.places, Path::new("/s/workspace"))
    }

    fn install(&self, config: &str, way: &str, sys: &Sys) -> Outcome {
        let text = format!("---\ndescription: x\nmetadata: {{clawdbot:{{install:[{way}]}}}}\n---");
        let way = manifest::parse(&text, "x").unwrap().install.remove(0);
        let (sys, skills) = (sys.clone(), self.config(config).skills);
        self.bench.run(async move {
            let limit = Duration::from_secs(60);
            install::install(&sys, &skills, "x", &way, Path::new("/s/tools/x"), limit).await
        })
    }
}

#[test]
fn the_workspace_goes_before_the_state_directory_and_that_before_the_extra_ones() {
    let home = quiet();
    for (dir, word) in [("/more/deep/er/a", "extra"), ("/s/skills/a", "managed"), ("/s/workspace/skills/x", "own")] {
        home.put(dir, &format!("---\nname: a\ndescription: {word}\n---\n"));
    }
    home.put("/more/b", "---\ndescription: only here\n---\n");
    home.put("/more/.hidden/c", "---\ndescription: no\n---\n");
    home.put("/more/node_modules/d", "---\ndescription: no\n---\n");
    home.put("/more/e", "# no front matter\n");
    let found = home.list(&home.config("{skills:{load:{extraDirs:['/more','/missing']}}}"));
    let rows: Vec<_> =
        found.iter().map(|skill| (skill.manifest.name.as_str(), skill.manifest.description.as_str())).collect();
    assert_eq!(rows, [("a", "own"), ("b", "only here")]);
    assert_eq!((found[0].source, found[1].source), (Source::Workspace, Source::Extra));
    assert_eq!(found[0].file(), Path::new("/s/workspace/skills/x/SKILL.md"));
}

#[test]
fn a_deep_or_wide_tree_is_looked_at_within_bounds() {
    let home = quiet();
    home.put(&format!("/s/skills{}", "/d".repeat(SKILL_DEPTH + 1)), "---\ndescription: too deep\n---\n");
    for number in 0..SKILLS + 20 {
        home.put(&format!("/s/workspace/skills/n{number}"), "---\ndescription: many\n---\n");
    }
    assert_eq!(home.list(&home.config("{}")).len(), SKILLS);
}

#[test]
fn what_is_missing_is_named_and_decides() {
    let home = quiet();
    let judge = |metadata: &str, config: &str| {
        let text = format!("---\nname: a\ndescription: x\nmetadata: {{clawdbot:{metadata}}}\n---");
        let config = home.config(config);
        Facts::new(&home.sys, &config).judge(&manifest::parse(&text, "a").unwrap())
    };
    assert!(judge("{}", "{}").is_eligible());
    assert!(!judge("{}", "{skills:{entries:{a:{enabled:false}}}}").is_eligible());
    let needs = "{requires:{bins:['curl','jq'],anyBins:['x','y'],env:['HAVE','LACK'],config:['ui.assistant.name']}}";
    let fit = judge(needs, "{}");
    assert_eq!((fit.missing.bins, fit.missing.any_bins), (vec!["jq".to_owned()], vec!["x".into(), "y".into()]));
    assert_eq!((fit.missing.env, fit.missing.config), (vec!["LACK".to_owned()], vec!["ui.assistant.name".into()]));
    let fit = judge(
        "{requires:{anyBins:['x','curl'],env:['A','B'],config:['ui.assistant.name','browser.enabled']},primaryEnv:'A'}",
        "{ui:{assistant:{name:'n'}},skills:{entries:{a:{apiKey:'k',env:{B:'b'}}}}}",
    );
    assert!(fit.is_eligible(), "{fit:?}");
    assert!(judge("{always:true,requires:{bins:['jq']}}", "{}").is_eligible());
    assert!(!judge("{always:true,os:['plan9']}", "{}").is_eligible());
    assert!(!judge("{requires:{config:['browser.enabled']}}", "{browser:{enabled:false}}").is_eligible());
}

#[test]
fn agents_are_told_of_what_they_can_use() {
    let home = quiet();
    home.put("/s/skills/a", "---\ndescription: does this\nmetadata: {clawdbot:{requires:{bins:['curl']}}}\n---");
    home.put("/s/skills/b", "---\ndescription: lacks\nmetadata: {clawdbot:{requires:{bins:['jq']}}}\n---");
    home.put("/s/skills/c", "---\ndescription: hidden\ndisable-model-invocation: true\n---");
    let config = home.config("{}");
    let text = offer(&home.sys, &config, &home.places, Path::new("/w")).unwrap();
    assert!(text.ends_with("\n- a: does this (/s/skills/a/SKILL.md)\n"), "{text}");
    assert!(!text.contains("lacks") && !text.contains("hidden"));
    assert_eq!(bins(&home.sys, &config, &home.places), ["curl", "jq"]);
    assert_eq!(offer(&home.sys, &config, &Places { state_dir: "/t".into(), ..home.places }, Path::new("/w")), None);
}

#[test]
fn packages_are_installed_by_arguments_and_without_their_scripts() {
    let home = home(|program| {
        (program.on_line.as_ref().unwrap())("added 1 package");
        let ending = if program.argv.contains(&"bad".to_owned()) { Ending::Exited(7) } else { Ending::Exited(0) };
        (Duration::from_secs(2), Finished { ending, stdout: "done".into(), stderr: "npm: no\n".into() })
    });
    let outcome = home.install("{}", "{kind:'node',package:'@a/b@1.2'}", &home.sys);
    assert_eq!((outcome.ok, outcome.code, outcome.message.as_str()), (true, Some(0), "Installed"));
    let words = ["npm", "install", "-g", "--ignore-scripts", "--no-audit", "--no-fund", "@a/b@1.2"];
    assert_eq!(home.programs.seen()[0].argv, words);
    let outcome = home.install("{}", "{kind:'uv',package:'bad'}", &home.sys);
    assert_eq!((outcome.ok, outcome.message.as_str()), (false, "Install failed (exit 7): npm: no"));
    assert_eq!(home.install("{}", "{kind:'go',module:'x/y@latest'}", &home.sys).message, "go not installed");
    let brew = home.install("{}", "{kind:'brew',formula:'x'}", &home.sys).message;
    assert!(brew.contains("not allowed") && brew.contains("skills.install.allow"), "{brew}");
    let brew = home.install("{skills:{install:{allow:['brew']}}}", "{kind:'brew',formula:'x'}", &home.sys);
    assert_eq!(brew.message, "brew not installed");
    for what in ["--global-style", "a b", "git+ssh://x/y", "/etc", "../x", "a;b", ""] {
        let outcome = home.install("{}", &format!("{{kind:'node',package:'{what}'}}"), &home.sys);
        assert!(outcome.message.contains("not the name of a package"), "{what}: {}", outcome.message);
    }
    assert_eq!(home.programs.seen().len(), 2);
}

#[test]
fn an_installer_that_takes_too_long_is_said_to() {
    let home = home(|_| {
        (Duration::from_secs(61), Finished { ending: Ending::Exited(0), stdout: String::new(), stderr: String::new() })
    });
    assert_eq!(home.install("{}", "{kind:'uv',package:'x'}", &home.sys).message, "Install failed (timed out)");
}

#[test]
fn a_download_follows_redirections_and_lands_whole_or_not_at_all() {
    let home = quiet();
    let http = ScriptedHttp::new(&home.bench.world.clock, |request| match request.url.as_str() {
        "https://a/x/model.bin" => Script::answer(302, "").header("location", "https://b/y"),
        "https://b/y" => Script::answer(200, "abc").then(Duration::from_secs(1), "def"),
        "https://a/plain" => Script::answer(302, "").header("location", "http://b/y"),
        "https://a/loop" => Script::answer(302, "").header("location", "/loop"),
        "https://a/cut.bin" => Script::answer(200, "abc").ending(crate::sys::sim::http::Ending::CutOff),
        "https://a/t.tar.gz" => Script::answer(200, "tar"),
        _ => Script::error(HttpError::Connect("nobody".into())),
    });
    let sys = Sys { http: Rc::new(http), ..home.sys.clone() };
    let get = |way: &str| home.install("{}", &format!("{{kind:'download',{way}}}"), &sys);
    let outcome = get("url:'https://a/x/model.bin',targetDir:'m'");
    assert_eq!(outcome.message, "Downloaded 6 bytes to /s/tools/x/m/model.bin");
    assert_eq!(sys.files.read(Path::new("/s/tools/x/m/model.bin"), 100).unwrap(), b"abcdef");
    for (way, expected) in [
        ("url:'https://a/plain'", "\"http://b/y\" is not an https address"),
        ("url:'https://a/loop'", "more than 5 redirections"),
        ("url:'https://a/cut.bin'", "connection ended"),
        ("url:'http://a/x'", "is not an https address"),
        ("url:'https://a/..'", "is not an https address"),
        ("url:'https://a/x/model.bin',targetDir:'../../y'", "leads out"),
        ("url:'https://a/x.zip',archive:'zip'", "only tar archives"),
    ] {
        let message = get(way).message;
        assert!(message.starts_with("Install failed: ") && message.contains(expected), "{way}: {message}");
    }
    let left: Vec<_> = sys.files.list(Path::new("/s/tools/x")).unwrap().into_iter().map(|entry| entry.name).collect();
    assert_eq!(left, ["m"]);
    assert!(get("url:'https://a/t.tar.gz',archive:'tar.gz',stripComponents:1").ok);
    let argv: Vec<_> = home.programs.seen().iter().map(|program| program.argv.join(" ")).collect();
    assert_eq!(argv[0], "tar -tvf /s/tools/x/t.tar.gz", "it is looked at first");
    assert_eq!(argv[1], "tar -xf /s/tools/x/t.tar.gz -C /s/tools/x --no-same-owner --strip-components=1");
}

#[test]
fn an_archive_with_a_link_is_not_unpacked() {
    let home = home(|program| {
        let line = "lrwxrwxrwx root/root 0 2026-11-22 10:00 a -> /etc";
        program.on_line.as_ref().into_iter().for_each(|hear| hear(line));
        (Duration::ZERO, Finished { ending: Ending::Exited(0), stdout: String::new(), stderr: String::new() })
    });
    let http = ScriptedHttp::new(&home.bench.world.clock, |_| Script::answer(200, "tar"));
    let sys = Sys { http: Rc::new(http), ..home.sys.clone() };
    let outcome = home.install("{}", "{kind:'download',url:'https://a/t.tar.gz',archive:'tar.gz'}", &sys);
    assert!(!outcome.ok && outcome.message.contains("links or devices"), "{}", outcome.message);
    assert_eq!(home.programs.seen().len(), 1);
}
