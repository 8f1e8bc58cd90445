//! An authorization server and an API on loopback, to see the command without credentials.

use client_credentials::testing::{AuthorizationServer, ProtectedApi};
use toml::Table;

use crate::settings::Settings;

pub(crate) struct Demo {
    auth: AuthorizationServer,
    api: ProtectedApi,
}

impl Demo {
    pub(crate) async fn start() -> Self {
        let auth = AuthorizationServer::start().await;
        auth.set_client("demo", "demo-secret");
        auth.allow_scope("stats");
        let api = ProtectedApi::start(&auth).await;
        api.require_scope("stats");
        Self { auth, api }
    }

    pub(crate) fn api(&self) -> String {
        format!("{}/stats", self.api.origin())
    }

    pub(crate) fn settings(&self) -> Settings {
        let fields = [
            ("token_url", self.auth.token_url()),
            ("client_id", "demo".to_owned()),
            ("client_secret", "demo-secret".to_owned()),
            ("scope", "stats".to_owned()),
            ("origins", self.api.origin()),
        ];
        let fields = fields.map(|(field, value)| (field.to_owned(), value.into()));
        Settings { table: Table::from_iter(fields), flags: Table::new(), name: "auth".to_owned(), replaced: Vec::new() }
    }
}
