//! Outbound HTTP that a test writes: each request gets a [`Script`], played in virtual time under the
//! request's own limits, just as the real client would.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use super::SimClock;
use crate::sys::http::{Body, HttpError, Limits, Outbound, Request, Response};
use crate::sys::{Clock, LocalFuture};

/// Most requests that are kept for assertions; the oldest leaves.
const REQUESTS_KEPT: usize = 64;

/// One scripted answer.
#[derive(Debug, Clone)]
pub struct Script {
    /// From the request to the head.
    pub head_after: Duration,
    /// HTTP status code.
    pub status: u16,
    /// Response headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Pieces of the body, each with the pause before it.
    pub pieces: VecDeque<(Duration, Vec<u8>)>,
    /// What comes after the last piece.
    pub ending: Ending,
}

/// How a scripted answer ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// Properly.
    Complete,
    /// The connection is lost.
    CutOff,
    /// Nothing more comes, and nothing ends.
    Stall,
    /// There is no head at all, only this error.
    Error(HttpError),
}

impl Script {
    /// An answer that arrives at once: a status and a body in one piece.
    #[must_use]
    pub fn answer(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self {
            head_after: Duration::ZERO,
            status,
            headers: Vec::new(),
            pieces: VecDeque::from([(Duration::ZERO, body.into())]),
            ending: Ending::Complete,
        }
    }

    /// No answer but this error.
    #[must_use]
    pub fn error(error: HttpError) -> Self {
        Self { ending: Ending::Error(error), ..Self::answer(0, "") }
    }

    /// With a further header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With a further piece of the body after a pause.
    #[must_use]
    pub fn then(mut self, after: Duration, bytes: impl Into<Vec<u8>>) -> Self {
        self.pieces.push_back((after, bytes.into()));
        self
    }

    /// With another ending.
    #[must_use]
    pub fn ending(mut self, ending: Ending) -> Self {
        self.ending = ending;
        self
    }

    /// With a pause before the head.
    #[must_use]
    pub fn head_after(mut self, pause: Duration) -> Self {
        self.head_after = pause;
        self
    }
}

/// What decides the script of a request.
type Play = Box<dyn Fn(&Request) -> Script>;

/// The scripted client. Cloning shares it.
#[derive(Clone)]
pub struct ScriptedHttp {
    clock: Rc<dyn Clock>,
    play: Rc<Play>,
    requests: Rc<RefCell<VecDeque<(Duration, Request)>>>,
}

impl ScriptedHttp {
    /// Answers every request with what `play` says.
    #[must_use]
    pub fn new(clock: &SimClock, play: impl Fn(&Request) -> Script + 'static) -> Self {
        Self { clock: Rc::new(clock.clone()), play: Rc::new(Box::new(play)), requests: Rc::default() }
    }

    /// Answers with `scripts`, one after the other; after the last one every connection is refused.
    #[must_use]
    pub fn queue(clock: &SimClock, scripts: impl IntoIterator<Item = Script>) -> Self {
        let left: RefCell<VecDeque<Script>> = RefCell::new(scripts.into_iter().collect());
        Self::new(clock, move |request| {
            let next = left.borrow_mut().pop_front();
            next.unwrap_or_else(|| Script::error(HttpError::Connect(format!("{}: no script left", request.url))))
        })
    }

    /// The latest requests, oldest first, each with the virtual time at which it was sent.
    #[must_use]
    pub fn requests(&self) -> Vec<(Duration, Request)> {
        self.requests.borrow().iter().cloned().collect()
    }
}

impl Outbound for ScriptedHttp {
    fn send(&self, request: Request) -> LocalFuture<'static, Result<Response, HttpError>> {
        let (clock, limits, script) = (Rc::clone(&self.clock), request.limits, (self.play)(&request));
        let mut requests = self.requests.borrow_mut();
        if requests.len() == REQUESTS_KEPT {
            requests.pop_front();
        }
        requests.push_back((clock.elapsed(), request));
        drop(requests);
        Box::pin(async move {
            clock
                .timeout(limits.first_byte, clock.sleep(script.head_after))
                .await
                .map_err(|_| HttpError::Timeout(HttpError::FIRST_BYTE))?;
            if let Ending::Error(error) = script.ending {
                return Err(error);
            }
            let body = Played { clock, limits, pieces: script.pieces, ending: script.ending, received: 0 };
            Ok(Response { status: script.status, headers: script.headers, body: Box::new(body) })
        })
    }
}

impl fmt::Debug for ScriptedHttp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScriptedHttp").field("requests", &self.requests.borrow().len()).finish_non_exhaustive()
    }
}

/// The body of a script.
#[derive(Debug)]
struct Played {
    clock: Rc<dyn Clock>,
    limits: Limits,
    pieces: VecDeque<(Duration, Vec<u8>)>,
    ending: Ending,
    received: u64,
}

impl Played {
    async fn piece(&mut self) -> Result<Option<Vec<u8>>, HttpError> {
        while let Some((pause, bytes)) = self.pieces.pop_front() {
            self.pause(Some(pause)).await?;
            self.received = self.received.saturating_add(bytes.len() as u64);
            if self.received > self.limits.body_bytes {
                return Err(HttpError::TooLarge(self.limits.body_bytes));
            }
            if !bytes.is_empty() {
                return Ok(Some(bytes));
            }
        }
        match &self.ending {
            Ending::Complete => Ok(None),
            Ending::CutOff => Err(HttpError::CutOff),
            Ending::Error(error) => Err(error.clone()),
            Ending::Stall => {
                self.pause(None).await?;
                Ok(None)
            }
        }
    }

    /// Waits for `pause`, without end when there is none, and never longer than the idle limit.
    async fn pause(&self, pause: Option<Duration>) -> Result<(), HttpError> {
        let wait = self.clock.sleep(pause.unwrap_or(Duration::MAX));
        self.clock.timeout(self.limits.idle, wait).await.map_err(|_| HttpError::Timeout(HttpError::IDLE))
    }
}

impl Body for Played {
    fn next(&mut self) -> LocalFuture<'_, Result<Option<Vec<u8>>, HttpError>> {
        Box::pin(self.piece())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::http::Method;
    use crate::sys::reach::Reach;
    use crate::sys::sim::World;

    const SECOND: Duration = Duration::from_secs(1);

    fn get(url: &str) -> Request {
        let limits = Limits { connect: SECOND, first_byte: 2 * SECOND, idle: 2 * SECOND, body_bytes: 5 };
        Request {
            method: Method::Get,
            url: url.to_owned(),
            socket: None,
            reach: Reach::Any,
            headers: Vec::new(),
            body: Vec::new(),
            limits,
        }
    }

    /// The time at which it was over, what came, and how it ended.
    fn play(script: Script) -> (Duration, Vec<u8>, Result<(), HttpError>) {
        let world = World::at(0);
        let http = ScriptedHttp::queue(&world.clock, [script]);
        let result = Rc::new(RefCell::new(None));
        let (slot, clock) = (Rc::clone(&result), world.clock.clone());
        world.tasks().detach(async move {
            let mut bytes = Vec::new();
            let end = async {
                let mut body = http.send(get("http://x")).await?.body;
                while let Some(piece) = body.next().await? {
                    bytes.extend(piece);
                }
                Ok(())
            }
            .await;
            assert_eq!(http.requests().len(), 1);
            *slot.borrow_mut() = Some((clock.elapsed(), bytes, end));
        });
        world.run_for(Duration::from_secs(3600));
        let over = result.borrow_mut().take();
        over.unwrap()
    }

    #[test]
    fn a_script_plays_in_virtual_time() {
        let script = Script::answer(200, "ab").head_after(SECOND).then(SECOND, "c");
        assert_eq!(play(script), (2 * SECOND, b"abc".to_vec(), Ok(())));
    }

    #[test]
    fn the_limits_of_the_request_hold() {
        let idle = Err(HttpError::Timeout(HttpError::IDLE));
        assert_eq!(play(Script::answer(200, "ab").ending(Ending::Stall)), (2 * SECOND, b"ab".to_vec(), idle.clone()));
        assert_eq!(play(Script::answer(200, "ab").then(3 * SECOND, "c")), (2 * SECOND, b"ab".to_vec(), idle));
        assert_eq!(
            play(Script::answer(200, "").head_after(3 * SECOND)),
            (2 * SECOND, Vec::new(), Err(HttpError::Timeout(HttpError::FIRST_BYTE)))
        );
        assert_eq!(play(Script::answer(200, "abcdef")), (Duration::ZERO, Vec::new(), Err(HttpError::TooLarge(5))));
        assert_eq!(
            play(Script::answer(200, "ab").ending(Ending::CutOff)),
            (Duration::ZERO, b"ab".to_vec(), Err(HttpError::CutOff))
        );
        let refused = HttpError::Connect("x".to_owned());
        assert_eq!(play(Script::error(refused.clone())), (Duration::ZERO, Vec::new(), Err(refused)));
    }
}
