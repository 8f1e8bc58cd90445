//! The guide: a page for each task.
//!
//! To start:
//!
//! - [Authorization servers](providers): what to set for which, how the client authenticates, settings from a file or
//!   the environment, discovery, tokens from elsewhere.
//! - [From hand-written token code](from_hand_written_code): a `Mutex<Option<Token>>` is replaced, step by step.
//! - [Several APIs and tenants](several_apis_and_tenants): a scope or an audience for each API, a client for each
//!   tenant.
//! - [Other clients](other_clients): tonic, reqwest 0.12, interceptors, OTLP, kube, progenitor, a protocol of your own.
//! - [Blocking programs](blocking_programs): without `async`, or called from it.
//! - [Recipes](recipes): a token request in JSON, a token in another member, client certificates that rotate.
//!
//! To run it:
//!
//! - [How it works](how_it_works): the life of a token, what rejects it, and all numbers.
//! - [In production](in_production): layer order, time limits, errors, readiness, all log events and metrics, alerts,
//!   proxies, rotation of secrets.
//! - [Sharing tokens between instances](sharing_tokens): one token for a fleet, in Redis or Valkey, in files, or in a
//!   store of your own.
//! - [When it does not work](when_it_does_not_work): from what the log, an error or an alert says to its cause.
//!
//! To build on it:
//!
//! - [Testing your application](testing): an authorization server and an API on loopback or in memory, faults, a clock
//!   that you move.
//! - [For authors of SDKs](for_sdk_authors): which types to show, which features to enable, what is a breaking change.
//! - [Upgrading](upgrading): what may change in which release, and what to do then.
//!
//! The pages are in the repository, too, under `docs/`. These modules exist in the documentation only.

// A page links to other pages by reference, and defines where to at its end: there to files, for readers of the
// repository. `links.md` defines the same for rustdoc. It comes first, and the first definition wins.

#[doc = include_str!("links.md")]
#[doc = include_str!("../../docs/blocking-programs.md")]
pub mod blocking_programs {}

#[doc = include_str!("links.md")]
#[doc = include_str!("../../docs/for-sdk-authors.md")]
pub mod for_sdk_authors {}

#[doc = include_str!("links.md")]
#[doc = include_str!("../../docs/from-hand-written-code.md")]
pub mod from_hand_written_code {}

#[doc = include_str!("links.md")]
#[doc = include_str!("../../docs/how-it-works.md")]
pub mod how_it_works {}

#[doc = include_str!("links.md")]
#[doc = include_str!("../../docs/in-production.md")]
///
/// ## The dashboard
///
#[doc = include_str!("../../docs/dashboard.svg")]
pub mod in_production {}

#[doc = include_str!("links.md")]
#[doc = include_str!("../../docs/other-clients.md")]
pub mod other_clients {}

#[doc = include_str!("links.md")]
#[doc = include_str!("../../docs/providers.md")]
pub mod providers {}

#[doc = include_str!("links.md")]
#[doc = include_str!("../../docs/recipes.md")]
pub mod recipes {}

#[doc = include_str!("links.md")]
#[doc = include_str!("../../docs/several-apis-and-tenants.md")]
pub mod several_apis_and_tenants {}

#[doc = include_str!("links.md")]
#[doc = include_str!("../../docs/sharing-tokens.md")]
pub mod sharing_tokens {}

#[doc = include_str!("links.md")]
#[doc = include_str!("../../docs/testing.md")]
pub mod testing {}

#[doc = include_str!("links.md")]
#[doc = include_str!("../../docs/upgrading.md")]
pub mod upgrading {}

#[doc = include_str!("links.md")]
#[doc = include_str!("../../docs/when-it-does-not-work.md")]
pub mod when_it_does_not_work {}
