//! The one request of this process that says something: a notice to an address that the operator
//! configured. No redirect is followed, and nothing of the answer is read but its status.

use reqwest::header::{CONTENT_TYPE, HeaderValue};
use url::Url;

use super::{Http, HttpError, classify};

impl Http {
    /// Posts a JSON document.
    ///
    /// # Errors
    /// Whatever is not a status of success; a redirect is none.
    pub(crate) async fn post_json(
        &self,
        url: &Url,
        body: Vec<u8>,
        headers: &[(&'static str, HeaderValue)],
    ) -> Result<(), HttpError> {
        let mut request = self.client(url)?.post(url.clone());
        request = request.header(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for (name, value) in headers {
            request = request.header(*name, value.clone());
        }
        let response = request.body(body).send().await;
        let status = response.map_err(|error| classify(url, error))?.status();
        if status.is_success() {
            return Ok(());
        }
        let url = url.clone();
        Err(HttpError::Status { url, status })
    }
}
