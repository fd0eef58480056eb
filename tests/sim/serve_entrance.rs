//! The entrance that only Tailscale Serve can reach: a login counts there, and only as far as the daemon confirms it.

use barnacle::sys::http::HttpError;
use barnacle::sys::sim::http::Script;

use super::client::Who;
use super::device;
use super::home::{Furnishing, Home};

/// What Serve sends for a person in the tailnet.
const SENT: &[(&str, &str)] = &[
    ("X-Forwarded-For", "100.64.0.9"),
    ("X-Forwarded-Host", "pi.tail1.ts.net"),
    ("X-Forwarded-Proto", "https"),
    ("Tailscale-User-Login", "owner@example.com"),
];

/// A gateway beside a daemon that knows one address.
fn home(has_entrance: bool, login: Option<&'static str>) -> Home {
    Home::new(Furnishing {
        tailscale: (true, has_entrance),
        ..Furnishing::new(5, move |request| {
            let is_known = request.url.ends_with("whois?addr=100.64.0.9:0");
            match login.filter(|_| is_known) {
                Some(login) => {
                    Script::answer(200, format!(r#"{{"Node":{{}},"UserProfile":{{"LoginName":"{login}"}}}}"#))
                }
                None => Script::error(HttpError::Connect("no daemon".to_owned())),
            }
        })
    })
}

/// What a device hears that shows nothing but who it is.
fn answer(home: &Home, who: Who) -> String {
    let (client, challenge) = device::challenged(home, who);
    client.send(&device::handshake(&challenge, challenge.at_ms, None));
    home.run_ms(3000);
    client.reply("connect")["error"]["message"].as_str().unwrap().to_owned()
}

fn served() -> Who {
    Who { through_serve: true, headers: SENT, ..Who::native() }
}

#[test]
fn a_confirmed_login_opens_the_entrance_for_a_device_that_is_then_to_be_approved() {
    assert_eq!(answer(&home(true, Some("Owner@example.com")), served()), "pairing required");
    for (login, headers) in
        [(Some("somebody@example.com"), SENT), (None, SENT), (Some("owner@example.com"), &SENT[..3])]
    {
        let refused = answer(&home(true, login), Who { headers, ..served() });
        assert!(refused.starts_with("unauthorized: "), "{login:?}: {refused}");
    }
}

#[test]
fn the_same_headers_at_the_port_open_it_only_where_there_is_no_entrance() {
    let at_the_port = || Who { headers: SENT, ..Who::native() };
    let refused = answer(&home(true, Some("owner@example.com")), at_the_port());
    assert!(refused.starts_with("unauthorized: "), "{refused}");
    assert_eq!(answer(&home(false, Some("owner@example.com")), at_the_port()), "pairing required");
}

#[test]
fn nobody_is_local_who_comes_through_the_entrance() {
    let home = home(true, None);
    let client = home.connect(Who { through_serve: true, ..Who::native() });
    home.run_ms(50);
    assert!(client.is_admitted(), "the shared token is good everywhere");
    let presence = home.gateway().hub.peers();
    assert_eq!(presence[0].address.as_deref(), None, "an address that nobody has named is not told");
}
