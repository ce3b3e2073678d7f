//! Who may ask, and how often: API keys, and limits of each key and each address.
//!
//! In comes a request before its body is read, out goes who asks, or a refusal. Knows no upload and no result.

mod guard;
mod keys;
mod rate;
mod settings;

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;

use actix_web::http::header::{AUTHORIZATION, HeaderValue};
use actix_web::{HttpMessage, HttpRequest};

pub use guard::guard;
pub use keys::{ApiKey, InvalidKeys, InvalidName, KeyLine, Keys};
pub use rate::Standing;
pub use settings::Settings;

use super::error::ApiError;
use crate::followed::{FollowError, Followed};
use rate::{Rate, Who};

/// Whom a front end lets ask.
#[derive(Default)]
pub struct Access {
    keys: Option<Followed<Keys>>,
    rate: Option<Rate>,
    behind_proxy: bool,
    origins: Vec<String>,
}

/// Who makes a request.
#[derive(Clone, Default)]
pub struct Caller {
    name: Option<Arc<str>>,
    who: Option<Who>,
}

impl Caller {
    /// As the guard noted it; a request that passed no guard is nobody's.
    pub fn of(request: &HttpRequest) -> Self {
        request.extensions().get::<Self>().cloned().unwrap_or_default()
    }

    /// The name of the key; none where there are no keys.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }
}

impl Access {
    /// Reads what the settings name.
    ///
    /// # Errors
    /// [`FollowError`]: better than to let everybody in.
    pub fn open(settings: &Settings) -> Result<Self, FollowError> {
        let rate = NonZeroU32::new(settings.requests_per_second);
        Ok(Self {
            keys: settings.api_keys.clone().map(keys_in).transpose()?,
            rate: rate.map(|per_second| Rate::new(per_second, settings.burst)),
            behind_proxy: settings.behind_proxy,
            origins: settings.origins.clone(),
        })
    }

    /// Origins whose pages may ask from a browser.
    pub fn origins(&self) -> &[String] {
        &self.origins
    }

    /// Takes over changes of the file of keys, and forgets whom no limit touches any more.
    pub fn follow(&self) {
        if let Some(keys) = &self.keys {
            keys.follow();
        }
        if let Some(rate) = &self.rate {
            rate.forget_idle();
        }
    }

    /// Lets a request in, or refuses it.
    fn admit(&self, request: &HttpRequest) -> Result<(Caller, Option<Standing>), ApiError> {
        let name = match &self.keys {
            None => None,
            Some(keys) => Some(self.name(request, keys)?),
        };
        let Some(rate) = &self.rate else {
            return Ok((Caller { name, who: None }, None));
        };
        let who = match &name {
            Some(name) => Who::Name(Arc::clone(name)),
            None => Who::Address(self.address(request)),
        };
        let standing = rate.take(&who, NonZeroU32::MIN)?;
        Ok((Caller { name, who: Some(who) }, Some(standing)))
    }

    /// Counts further pictures of a request as if each had come alone.
    pub fn charge(&self, caller: &Caller, further: usize) -> Result<(), ApiError> {
        let further = NonZeroU32::new(further.try_into().unwrap_or(u32::MAX));
        match (&self.rate, &caller.who, further) {
            (Some(rate), Some(who), Some(further)) => rate.take(who, further).map(drop),
            _ => Ok(()),
        }
    }

    /// The name of the key that a request has. Who guesses keys is slowed down like any other address.
    fn name(&self, request: &HttpRequest, keys: &Followed<Keys>) -> Result<Arc<str>, ApiError> {
        let key = request.headers().get(AUTHORIZATION).and_then(bearer);
        if let Some(name) = key.and_then(|key| keys.current().name_of(key)) {
            return Ok(name);
        }
        if let Some(rate) = &self.rate {
            rate.take(&Who::Address(self.address(request)), NonZeroU32::MIN)?;
        }
        Err(ApiError::NoAccess)
    }

    /// Where a request comes from. A network of IPv6 counts as one address: whoever has one has 2⁶⁴ of them.
    fn address(&self, request: &HttpRequest) -> IpAddr {
        let forwarded = request.headers().get_all("x-forwarded-for").last();
        // What stands before the last address was written by others than our proxy.
        let last = forwarded.and_then(|list| list.to_str().ok()?.rsplit(',').next()?.trim().parse().ok());
        let peer = request.peer_addr().map(|peer| peer.ip());
        let address = if self.behind_proxy { last.or(peer) } else { peer };
        match address.map(|address| address.to_canonical()) {
            Some(IpAddr::V6(address)) => {
                let network = u128::from(address) & !u128::from(u64::MAX);
                Ipv6Addr::from(network).into()
            }
            Some(address) => address,
            None => Ipv6Addr::UNSPECIFIED.into(),
        }
    }
}

fn keys_in(file: PathBuf) -> Result<Followed<Keys>, FollowError> {
    let parse = |contents: &[Vec<u8>]| Ok(std::str::from_utf8(&contents.concat())?.parse()?);
    Followed::open("the API keys", vec![file], parse)
}

/// The key in `Bearer KEY` (RFC 6750).
fn bearer(value: &HeaderValue) -> Option<&str> {
    let (scheme, key) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}
