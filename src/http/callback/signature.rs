//! Signatures of calls, as Standard Webhooks has them (<https://www.standardwebhooks.com>): HMAC-SHA256 over the id, the
//! time and the body.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::Secret;

/// The header `webhook-signature` of a message, or none if the secret can't be a key.
pub fn sign(secret: &Secret, id: &str, timestamp: u64, body: &str) -> Option<String> {
    let mut code = Hmac::<Sha256>::new_from_slice(secret.bytes()).ok()?;
    code.update(format!("{id}.{timestamp}.{body}").as_bytes());
    let signature = BASE64_STANDARD.encode(code.finalize().into_bytes());
    Some(format!("v1,{signature}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_specification_s_own_example_has_its_signature() {
        // From the specification's test of its libraries.
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse().unwrap();
        let signature = sign(
            &secret,
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            "{\"test\": 2432232314}",
        );
        assert_eq!(
            signature.unwrap(),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
    }
}
