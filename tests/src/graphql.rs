//! Calls of GraphQL.

use serde_json::{Value, json};

use crate::client::{Answer, Call, Client};

impl Client {
    /// A GraphQL request without variables.
    pub fn query(&self, document: &str) -> Call {
        self.post("/graphql", &json!({"query": document}))
    }

    /// A GraphQL request.
    pub fn graphql(&self, document: &str, variables: &Value) -> Call {
        self.post("/graphql", &json!({"query": document, "variables": variables}))
    }
}

impl Call {
    /// Sends it and gives the data of the answer, which must tell of no error.
    pub async fn data(self) -> Value {
        self.send().await.data()
    }

    /// Sends it and gives the only error of the answer, which has to have this code.
    pub async fn error(self, code: &str) -> Value {
        self.send().await.error(code)
    }
}

impl Answer {
    /// The data of an answer of GraphQL, which must tell of no error.
    #[must_use]
    #[track_caller]
    pub fn data(&self) -> Value {
        let body = self.expect(200);
        assert_eq!(body.get("errors"), None, "{}", self.text);
        body.get("data").unwrap_or_else(|| panic!("no data: {}", self.text)).clone()
    }

    /// The errors of an answer of GraphQL.
    #[must_use]
    #[track_caller]
    pub fn errors(&self) -> Vec<Value> {
        let body = self.json();
        body["errors"].as_array().unwrap_or_else(|| panic!("no errors: {}", self.text)).clone()
    }

    /// The only error of an answer of GraphQL, which has to have this code.
    #[track_caller]
    pub fn error(&self, code: &str) -> Value {
        let errors = self.errors();
        assert_eq!(errors.len(), 1, "{}", self.text);
        assert_eq!(errors[0]["extensions"]["code"], code, "{}", self.text);
        errors[0].clone()
    }
}
