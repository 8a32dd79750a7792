//! The calls of an attempt as they were made, kept where an attempt's own columns cannot tell them.

use serde::{Deserialize, Serialize};

use crate::store::Error;

/// A call as it was made: credentials are shortened, bodies cut to what is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallRecord {
    pub method: String,
    pub url: String,
    pub request_headers: Vec<(String, String)>,
    /// None if it held credentials.
    pub request_body: Option<String>,
    /// How many bytes were sent and came back; 0 where an older version wrote it.
    #[serde(default)]
    pub request_bytes: u64,
    #[serde(default)]
    pub response_bytes: u64,
    /// None if nothing came back, as for headers and body of the response.
    pub status: Option<u16>,
    pub response_headers: Vec<(String, String)>,
    pub response_body: Option<String>,
    /// From the start of the attempt to that of the call.
    pub after_ms: u32,
    pub duration_ms: u32,
    /// Why nothing came back.
    pub error: Option<String>,
}

/// The calls as they are stored; none if there are none to store.
pub(crate) fn stored(calls: &[CallRecord]) -> Option<String> {
    serde_json::to_string(calls).ok().filter(|_| !calls.is_empty())
}

/// Reads what was stored.
pub(super) fn read(stored: Option<serde_json::Value>) -> Result<Vec<CallRecord>, Error> {
    let calls = stored.map(serde_json::from_value).transpose().map_err(|_| Error::Corrupt("calls"))?;
    Ok(calls.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_read_again() {
        let call = CallRecord {
            method: "POST".to_owned(),
            request_body: Some("{\"a\": 1}".to_owned()),
            ..CallRecord::default()
        };
        let text = stored(std::slice::from_ref(&call)).unwrap();
        assert_eq!(read(serde_json::from_str(&text).unwrap()).unwrap(), [call]);
        assert_eq!((stored(&[]), read(None).unwrap()), (None, Vec::new()));
        assert!(read(Some(serde_json::json!([{"method": 1}]))).is_err());
        let older = serde_json::json!([{
            "method": "POST", "url": "https://x.example", "request_headers": [], "request_body": "{}", "status": 200,
            "response_headers": [], "response_body": "ok", "after_ms": 0, "duration_ms": 1, "error": null
        }]);
        assert_eq!(read(Some(older)).unwrap()[0].request_bytes, 0);
    }
}
