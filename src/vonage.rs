//! The regions of Vonage Contact Center, for the preset
//! [`ClientCredentials::vonage`](crate::ClientCredentials::vonage).

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, de};

use crate::{error::Error, origin::Origins};

/// A region of Vonage Contact Center.
///
/// Parsed from `emea`, `usa` or `nam`, and `apac`, in upper or lower case. White space around it is ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Region {
    /// Europe, the Middle East and Africa: `emea`.
    Emea,
    /// The United States: `nam`.
    Usa,
    /// Asia and the Pacific: `apac`.
    Apac,
}

impl Region {
    /// The region's base URL, such as `https://emea.cc.vonage.com`.
    pub fn base_url(self) -> &'static str {
        match self {
            Self::Emea => "https://emea.cc.vonage.com",
            Self::Usa => "https://nam.cc.vonage.com",
            Self::Apac => "https://apac.cc.vonage.com",
        }
    }

    /// The URL of most APIs, such as `https://emea.api.cc.vonage.com`.
    pub fn api_url(self) -> &'static str {
        match self {
            Self::Emea => "https://emea.api.cc.vonage.com",
            Self::Usa => "https://nam.api.cc.vonage.com",
            Self::Apac => "https://apac.api.cc.vonage.com",
        }
    }

    /// The token endpoint, such as `https://emea.cc.vonage.com/Auth/connect/token`.
    pub fn token_url(self) -> &'static str {
        match self {
            Self::Emea => "https://emea.cc.vonage.com/Auth/connect/token",
            Self::Usa => "https://nam.cc.vonage.com/Auth/connect/token",
            Self::Apac => "https://apac.cc.vonage.com/Auth/connect/token",
        }
    }

    /// The origins that the region's tokens may be sent to.
    pub(crate) fn origins(self) -> Origins {
        let domains = ["cc.vonage.com", "api.cc.vonage.com", "newvoicemedia.com", "api.newvoicemedia.com"];
        Origins::new(domains.map(|domain| format!("https://{self}.{domain}"))).unwrap_or_default()
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Emea => "emea",
            Self::Usa => "nam",
            Self::Apac => "apac",
        })
    }
}

impl FromStr for Region {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text.trim().to_ascii_lowercase().as_str() {
            "emea" => Ok(Self::Emea),
            "usa" | "nam" => Ok(Self::Usa),
            "apac" => Ok(Self::Apac),
            _ => Err(Error::configuration("region: is unknown; write `emea`, `usa` (or `nam`) or `apac`")),
        }
    }
}

impl<'de> Deserialize<'de> for Region {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}
