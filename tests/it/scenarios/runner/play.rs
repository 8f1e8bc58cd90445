//! Lets a scenario happen.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    future::{Future, poll_fn},
    pin::Pin,
    sync::{Arc, Mutex},
    task::Poll,
    time::Duration,
};

use client_credentials::{BearerAuthLayer, ClientCredentials, Clock, Error, TokenCache, TokenRequest, TryClone};
use http::{Request, Response, StatusCode, header};
use tokio::time::{advance, sleep_until, timeout};
use tower::{BoxError, Layer, ServiceExt, util::BoxCloneService};

use super::{
    format::{Callers, Scenario},
    seen::{Call, Outcome, Seen},
    store::Store,
    world::{Apis, Network, Sent, Trace, World},
};

pub(super) const SECRET: &str = "s3cr3t-of-the-client";

type Service = BoxCloneService<Request<()>, Response<()>, BoxError>;

/// One process: its callers with and without replay, and those that carry the token themselves.
struct Instance {
    once: Service,
    replaying: Service,
    by_hand: Service,
}

/// What happens at one time, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Clock(usize),
    /// The store fails from now on, or works again.
    Store,
    /// Which of them, and for which time.
    Revocation(usize, u32),
    HandlesDropped,
    /// Which callers, and for which time.
    Calls(usize, u32),
}

/// Plays it with the random numbers of `seed`.
///
/// # Errors
///
/// If the settings are refused.
pub(super) fn play(scenario: Scenario, seed: u64) -> Result<(Scenario, Seen), String> {
    fastrand::seed(seed);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime");
    let world = runtime.block_on(async {
        let world = World::new(scenario);
        let clock = Clock::tokio();
        let mut instances = Vec::new();
        for number in 0..world.scenario.instances {
            instances.push(instance(&world, number, &clock).map_err(|error| error.to_string())?);
        }
        run(&world, &clock, instances).await;
        Ok::<_, String>(world)
    })?;
    let seen = world.take_seen();
    drop(runtime);
    let world = Arc::into_inner(world).expect("nothing outlives its runtime and its handles");
    Ok((world.scenario, seen))
}

fn instance(world: &Arc<World>, number: u64, clock: &Clock) -> Result<Instance, Error> {
    let settings = &world.scenario.settings;
    let mut source = ClientCredentials::builder("https://auth.example.com/token", "client", SECRET)
        .http_client(Network { world: Arc::clone(world), instance: number });
    source = match &settings.origin {
        Some(origin) => source.origin(origin),
        None => source.any_origin(),
    };
    if let Some(limit) = settings.timeout {
        source = source.timeout(limit.0);
    }
    let mut tokens = TokenCache::builder(source.build()?).clock(clock.clone());
    if let Some(share) = settings.renewal_share {
        tokens = tokens.renewal_share(share);
    }
    if let Some(lifetime) = settings.assumed_lifetime {
        tokens = tokens.assumed_lifetime(lifetime.0);
    }
    if let Some(limit) = settings.wait_limit {
        tokens = tokens.wait_limit(limit.0);
    }
    if settings.keep_warm {
        tokens = tokens.keep_warm();
    }
    if !world.scenario.store.is_empty() {
        tokens = tokens.shared_in_the_clear(world.store.clone());
    }
    let tokens = tokens.build()?;
    let apis = Apis { world: Arc::clone(world) };
    let by_hand = by_hand(tokens.clone(), apis.clone());
    let layer = BearerAuthLayer::new(tokens);
    Ok(Instance {
        by_hand,
        once: BoxCloneService::new(layer.layer(apis.clone())),
        replaying: BoxCloneService::new(layer.with_replay(TryClone).layer(apis)),
    })
}

fn by_hand(tokens: TokenCache, apis: Apis) -> Service {
    let send = move |mut request: Request<()>| {
        let (tokens, apis) = (tokens.clone(), apis.clone());
        async move {
            let token = match request.extensions().get::<TokenRequest>() {
                Some(request) => tokens.token_for(request).await?,
                None => tokens.token().await?,
            };
            let header = format!("Bearer {}", token.expose_secret()).parse()?;
            request.headers_mut().insert(header::AUTHORIZATION, header);
            let response = apis.oneshot(request).await?;
            if response.status() == StatusCode::UNAUTHORIZED {
                tokens.reject(&token);
            }
            Ok::<_, BoxError>(response)
        }
    };
    BoxCloneService::new(tower::service_fn(send))
}

async fn run(world: &Arc<World>, clock: &Clock, mut instances: Vec<Instance>) {
    let scenario = &world.scenario;
    let mut events = BinaryHeap::new();
    let mut schedule = |time: Duration, event: Event| events.push(Reverse((time, event)));
    for (index, event) in scenario.clock.iter().enumerate() {
        schedule(event.at.0, Event::Clock(index));
    }
    for (index, revocation) in scenario.revoke.iter().enumerate() {
        if let Some(time) = revocation.rhythm().time(0) {
            schedule(time, Event::Revocation(index, 0));
        }
    }
    for time in scenario.store.iter().flat_map(Store::changes) {
        schedule(time, Event::Store);
    }
    if let Some(time) = scenario.handles_dropped {
        schedule(time.0, Event::HandlesDropped);
    }
    for (index, callers) in scenario.callers.iter().enumerate() {
        if let Some(time) = callers.rhythm().time(0) {
            schedule(time, Event::Calls(index, 0));
        }
    }
    while let Some(Reverse((time, event))) = events.pop() {
        sleep_until(world.instant(time)).await;
        match event {
            Event::Clock(index) => {
                let event = &scenario.clock[index];
                if let Some(time) = event.suspended_for {
                    world.sleep(time.0);
                    clock.jump_wall_clock(i64::try_from(time.0.as_millis()).unwrap_or(i64::MAX));
                }
                if let Some(time) = event.frozen_for {
                    advance(time.0).await;
                }
                if let Some(step) = event.wall_clock_steps {
                    clock.jump_wall_clock(step.milliseconds);
                }
            }
            Event::Store => scenario.set(&world.store, world.now()),
            Event::Revocation(index, tick) => {
                let revocation = &scenario.revoke[index];
                world.revoke(revocation.scope.as_deref());
                if let Some(time) = revocation.rhythm().time(tick + 1) {
                    events.push(Reverse((time, Event::Revocation(index, tick + 1))));
                }
            }
            Event::HandlesDropped => instances.clear(),
            Event::Calls(index, tick) => {
                let callers = &scenario.callers[index];
                if !scenario.clock.iter().any(|event| event.covers(time)) {
                    call_all(world, &instances, index, time).await;
                }
                if let Some(time) = callers.rhythm().time(tick + 1) {
                    events.push(Reverse((time, Event::Calls(index, tick + 1))));
                }
            }
        }
    }
    sleep_until(world.instant(scenario.lasts.0)).await;
}

async fn call_all(world: &Arc<World>, instances: &[Instance], group: usize, at: Duration) {
    let callers = &world.scenario.callers[group];
    for (number, instance) in (1..).zip(instances) {
        if callers.instance.is_some_and(|only| only != number) {
            continue;
        }
        let service = match (callers.replays, callers.by_hand) {
            (true, _) => &instance.replaying,
            (_, true) => &instance.by_hand,
            _ => &instance.once,
        };
        for number in 0..callers.count {
            let scope = scope(callers, number);
            let number = world.called(Call {
                group,
                scope: scope.clone().unwrap_or_default(),
                at,
                waited: Duration::ZERO,
                sent: 0,
                token: None,
                outcome: Outcome::Waiting,
            });
            let call = call(Arc::clone(world), service.clone(), group, number, scope);
            let mut call: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(call);
            // Most are served at once, and need no task.
            let done = poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx).is_ready())).await;
            if !done {
                tokio::spawn(call);
            }
        }
    }
}

fn scope(callers: &Callers, number: u64) -> Option<String> {
    match callers.scopes {
        Some(scopes) => Some(format!("key-{}", number % scopes.max(1) + 1)),
        None => callers.scope.clone(),
    }
}

async fn call(world: Arc<World>, service: Service, group: usize, number: usize, scope: Option<String>) {
    let callers = &world.scenario.callers[group];
    let sent = Arc::new(Mutex::new(Sent::default()));
    let mut request = Request::new(());
    request.uri_mut().clone_from(world.uri(group, number));
    request.extensions_mut().insert(Trace { called_at: world.now(), seen: Arc::clone(&sent) });
    if let Some(scope) = scope {
        request.extensions_mut().insert(TokenRequest::builder().scope(scope).build().expect("a scope"));
    }
    let started = tokio::time::Instant::now();
    let response = service.oneshot(request);
    let response = match callers.gives_up_after {
        Some(limit) => timeout(limit.0, response).await.ok(),
        None => Some(response.await),
    };
    let outcome = match response {
        None => Outcome::Gone,
        Some(Ok(response)) => Outcome::Response(response.status().as_u16()),
        Some(Err(error)) => Outcome::Failed(Error::find(&*error).expect("an error of the crate").clone()),
    };
    let sent = sent.lock().expect("no panic");
    world.update(|seen| {
        let call = &mut seen.calls[number];
        call.waited = started.elapsed().saturating_sub(sent.in_api);
        call.sent = sent.times;
        call.token = sent.token;
        call.outcome = outcome;
    });
}
