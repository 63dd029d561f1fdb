//! The fake without its network: requests in, answers out, time as an
//! argument.

use std::collections::HashMap;
use std::time::Instant;

use jiff::Timestamp;

use super::auth;
use super::authorize;
use super::config::FakeConfig;
use super::dispatch::{self, Answer, Ctx, Service};
use super::error::AwsError;
use super::fault::{FaultKind, Faults, Target};
use super::journal::{Call, Journal, Outcome};
use super::params::Params;
use super::sigv4::{Authorization, Signed};
use super::state::State;
use super::throttle::Bucket;
use super::xml;

/// A request as it came in, and what it asks for.
#[derive(Debug)]
pub(super) struct Request {
    method: String,
    path: String,
    query: String,
    headers: HashMap<String, String>,
    body: Vec<u8>,
    params: Params,
    op: String,
    service: Service,
    connection: Option<usize>,
}

impl Request {
    /// `headers` have names in lower case. An unknown version counts as IAM's.
    pub(super) fn new(
        method: &str,
        path: &str,
        query: &str,
        headers: HashMap<String, String>,
        body: Vec<u8>,
    ) -> Self {
        let params = Params::parse(query, &body);
        Self {
            method: method.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            headers,
            body,
            op: params.get("Action").unwrap_or_default().to_owned(),
            service: Service::of_version(params.get("Version").unwrap_or_default())
                .unwrap_or(Service::Iam),
            params,
            connection: None,
        }
    }

    /// The same, as it came over that connection: all that do are looked at by
    /// the same server.
    pub(super) fn over(self, connection: usize) -> Self {
        Self {
            connection: Some(connection),
            ..self
        }
    }

    fn signed(&self) -> Signed<'_> {
        Signed {
            method: &self.method,
            path: &self.path,
            query: &self.query,
            headers: &self.headers,
            body: &self.body,
        }
    }

    fn caller_key(&self) -> Option<&str> {
        let header = self.headers.get("authorization")?;
        Some(Authorization::parse(header)?.key_id)
    }
}

/// An answer, ready to be sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) body: String,
    pub(super) request_id: String,
}

/// The whole fake, but for its network.
pub(super) struct Engine {
    pub(super) config: FakeConfig,
    pub(super) state: State,
    pub(super) faults: Faults,
    pub(super) journal: Journal,
    bucket: Bucket,
    rng: fastrand::Rng,
    started: Instant,
    /// Requests so far.
    turn: usize,
}

impl Engine {
    pub(super) fn new(config: FakeConfig, now: Instant) -> Self {
        Self {
            state: State::new(&config, now, Timestamp::now()),
            rng: fastrand::Rng::with_seed(config.seed),
            config,
            faults: Faults::default(),
            journal: Journal::default(),
            bucket: Bucket::default(),
            started: now,
            turn: 0,
        }
    }

    /// Which fault this request meets, if any. Asked once per request.
    pub(super) fn strike(&mut self, request: &Request) -> Option<FaultKind> {
        let target = Target {
            op: &request.op,
            user: request.params.get("UserName"),
            caller_key: request.caller_key(),
        };
        self.faults.strike(&target, &mut self.rng)
    }

    /// Applies a request and records it.
    pub(super) fn apply(
        &mut self,
        request: &Request,
        fault: Option<&FaultKind>,
        now: Instant,
    ) -> Reply {
        let wall = Timestamp::now();
        let answer = match fault.and_then(FaultKind::as_error) {
            Some(error) => Err(error),
            None => self.answer(request, now, wall),
        };
        let outcome = match (&answer, fault) {
            (_, Some(FaultKind::LostReply)) => Outcome::Lost,
            (Ok(_), _) => Outcome::Applied,
            (Err(error), _) => Outcome::Error(error.code.to_string()),
        };
        self.record(request, outcome, now, wall);
        self.reply(request, answer)
    }

    /// Records a request that is not applied.
    pub(super) fn drop_request(&mut self, request: &Request, now: Instant) {
        self.record(request, Outcome::Dropped, now, Timestamp::now());
    }

    fn answer(&mut self, request: &Request, now: Instant, wall: Timestamp) -> Answer {
        let throttled = match (request.service, self.config.rate) {
            (Service::Iam, Some(rate)) => !self.bucket.take(rate, now),
            _ => false,
        };
        if throttled {
            return Err(AwsError::throttling());
        }
        self.turn = self.turn.wrapping_add(1);
        let caller = auth::authenticate(
            &mut self.state,
            &self.config,
            &request.signed(),
            request.service.name(),
            request.connection.unwrap_or(self.turn),
            now,
            wall,
        )?;
        let mut ctx = Ctx {
            state: &mut self.state,
            config: &self.config,
            params: &request.params,
            caller: &caller,
            now,
            wall,
        };
        authorize::authorize(&ctx, request.service, &request.op)?;
        dispatch::run(request.service, &request.op, &mut ctx)
    }

    fn reply(&mut self, request: &Request, answer: Answer) -> Reply {
        let namespace = request.service.namespace();
        let request_id = self.request_id();
        let (status, body) = match answer {
            Ok(result) => {
                let body = xml::success(namespace, &request.op, result, &request_id);
                (200, body)
            }
            Err(error) => {
                let body = xml::failure(namespace, &error, &request_id);
                (error.status, body)
            }
        };
        Reply {
            status,
            body,
            request_id,
        }
    }

    fn request_id(&mut self) -> String {
        let hex = format!("{:032x}", self.rng.u128(..));
        [
            &hex[..8],
            &hex[8..12],
            &hex[12..16],
            &hex[16..20],
            &hex[20..],
        ]
        .join("-")
    }

    fn record(&mut self, request: &Request, outcome: Outcome, now: Instant, wall: Timestamp) {
        self.journal.add(Call {
            at: wall,
            elapsed: now.saturating_duration_since(self.started),
            service: request.service.name(),
            op: request.op.clone(),
            user: request.params.get("UserName").map(str::to_owned),
            caller_key: request.caller_key().map(str::to_owned),
            params: request.params.for_journal(),
            outcome,
        });
    }
}
