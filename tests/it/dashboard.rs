//! Six hours of a service's metrics, for the picture of the dashboard. `scripts/dashboard` runs this.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use client_credentials::{
    BearerAuthLayer, ClientCredentials, Clock, TokenCache, TryClone,
    store::EncryptionKey,
    testing::{AuthorizationServer, MemoryStore, MockResponse, ProtectedApi},
};
use metrics_exporter_prometheus::PrometheusBuilder;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};
use tower::{Layer, ServiceExt};

const STEP: Duration = Duration::from_secs(15);
const HOURS: u32 = 6;

/// One authorization server, an API that accepts its tokens, and instances that share them.
struct Party {
    auth: AuthorizationServer,
    api: ProtectedApi,
    store: MemoryStore,
    instances: Vec<TokenCache>,
}

impl Party {
    fn new(token_url: &str, lifetime: Duration, instances: usize) -> Self {
        let (auth, store) = (AuthorizationServer::in_memory(), MemoryStore::new());
        auth.set_lifetime(lifetime);
        let api = ProtectedApi::in_memory(&auth);
        let key = EncryptionKey::from_bytes(&std::array::from_fn(|at| at as u8)).expect("a key");
        let instance = || {
            let source = ClientCredentials::builder(token_url, "abcde", "12345").origin("https://api.example.com");
            let source = source.http_client(auth.clone()).build().expect("complete");
            let builder = TokenCache::builder(source).clock(Clock::tokio());
            let builder = if instances > 1 { builder.shared(store.clone(), key.clone()) } else { builder };
            builder.build().expect("complete")
        };
        let instances = std::iter::repeat_with(instance).take(instances).collect();
        Self { auth, api, store, instances }
    }

    async fn send(tokens: TokenCache, api: ProtectedApi) {
        let layer = BearerAuthLayer::new(tokens).with_replay(TryClone);
        let request = http::Request::get("https://api.example.com/stats").body(String::new()).expect("a request");
        let _ = timeout(Duration::from_secs(10), layer.layer(api).oneshot(request)).await;
    }

    async fn traffic(&self, until: Instant) {
        while Instant::now() < until {
            let sent = self.instances.iter().map(|tokens| Self::send(tokens.clone(), self.api.clone()));
            sent.collect::<JoinSet<_>>().join_all().await;
            sleep_until(Instant::now() + Duration::from_secs(1)).await;
        }
    }
}

/// What happens, by the minute at which it begins.
fn happens(minute: u32, stats: &Party, orders: &Party) {
    let usual = |millis| MockResponse::usual().with_delay(Duration::from_millis(millis));
    match minute {
        0 | 100 => [stats, orders].iter().for_each(|party| party.auth.respond_always(usual(80))),
        85 => orders.auth.respond_always(usual(2500)),
        50 | 70 => stats.auth.revoke_all(),
        120 => orders.auth.respond_always(MockResponse::status(503)),
        130 => orders.auth.respond_always(usual(80)),
        180 => stats.auth.respond_always(MockResponse::status(503)),
        250 => stats.auth.respond_always(usual(80)),
        300 => orders.api.respond_always(MockResponse::status(401)),
        315 => orders.api.respond_always(MockResponse::usual()),
        205 => orders.store.fail(),
        235 => orders.store.restore(),
        _ => {}
    }
}

/// The samples of each metric, as OpenMetrics wants them.
#[derive(Default)]
struct Recording(BTreeMap<String, (String, String)>);

impl Recording {
    fn add(&mut self, exposition: &str, at: SystemTime) {
        let at = at.duration_since(UNIX_EPOCH).expect("after 1970").as_secs_f64();
        let mut family = "";
        for line in exposition.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect("a name and a kind");
                family = name;
                let head = format!("# TYPE {} {kind}\n", name.trim_end_matches("_total"));
                self.0.entry(name.to_owned()).or_insert((head, String::new()));
            } else if let (Some((_, samples)), Some((series, value))) = (self.0.get_mut(family), line.rsplit_once(' '))
                && !line.starts_with('#')
            {
                let (name, labels) = series.split_at(series.find('{').unwrap_or(series.len()));
                let labels = labels.trim_start_matches('{').trim_end_matches('}');
                let target = r#"job="shop",instance="shop-1:9100""#;
                let comma = if labels.is_empty() { "" } else { "," };
                writeln!(samples, "{name}{{{labels}{comma}{target}}} {value} {at:.3}").expect("a string");
            }
        }
    }

    fn text(&self) -> String {
        self.0.values().map(|(head, samples)| format!("{head}{samples}")).collect::<String>() + "# EOF\n"
    }
}

#[tokio::test(start_paused = true)]
#[ignore = "writes what scripts/dashboard draws"]
async fn six_hours_are_recorded() {
    let recorder = PrometheusBuilder::new().set_buckets(&[0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0]).expect("buckets");
    let recorder = recorder.build_recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let stats = Party::new("https://auth.example.com/oauth2/token", Duration::from_secs(3600), 1);
    let orders = Party::new("https://login.example.org/token", Duration::from_secs(600), 4);
    let (start, mut recording) = (SystemTime::now(), Recording::default());
    let began = Instant::now();
    for step in 0..HOURS * 240 {
        if step % 4 == 0 {
            happens(step / 4, &stats, &orders);
        }
        let until = began + STEP * (step + 1);
        tokio::join!(stats.traffic(until), orders.traffic(until));
        recording.add(&recorder.handle().render(), start + (Instant::now() - began));
    }
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("dashboard.om");
    std::fs::write(path, recording.text()).expect("a file");
}
