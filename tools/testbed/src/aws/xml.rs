//! Writing XML in AWS's shapes.

use super::error::AwsError;

/// XML text under construction; every value is escaped.
#[derive(Debug, Default)]
pub(super) struct Xml {
    text: String,
}

impl Xml {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// `<name>value</name>`.
    pub(super) fn leaf(mut self, name: &str, value: &str) -> Self {
        self.open(name);
        escape_into(&mut self.text, value);
        self.close(name);
        self
    }

    /// The same, if there is a value.
    pub(super) fn optional(self, name: &str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.leaf(name, value),
            None => self,
        }
    }

    /// Bare text, for lists of strings.
    pub(super) fn text(mut self, value: &str) -> Self {
        escape_into(&mut self.text, value);
        self
    }

    /// `<name>…</name>` around other elements.
    pub(super) fn element(mut self, name: &str, inner: Self) -> Self {
        self.open(name);
        self.text.push_str(&inner.text);
        self.close(name);
        self
    }

    /// `<name><member>…</member>…</name>`.
    pub(super) fn members(mut self, name: &str, items: impl IntoIterator<Item = Self>) -> Self {
        self.open(name);
        for item in items {
            self.open("member");
            self.text.push_str(&item.text);
            self.close("member");
        }
        self.close(name);
        self
    }

    fn open(&mut self, name: &str) {
        self.text.push('<');
        self.text.push_str(name);
        self.text.push('>');
    }

    fn close(&mut self, name: &str) {
        self.text.push_str("</");
        self.text.push_str(name);
        self.text.push('>');
    }
}

/// A successful answer: `<OpResponse><OpResult>…`. Actions without a result
/// leave the inner element out, as AWS does.
pub(super) fn success(namespace: &str, op: &str, result: Option<Xml>, request_id: &str) -> String {
    let mut body = Xml::new();
    if let Some(result) = result {
        body = body.element(&format!("{op}Result"), result);
    }
    body = body.element("ResponseMetadata", Xml::new().leaf("RequestId", request_id));
    document(&format!("{op}Response"), namespace, &body)
}

/// An error answer.
pub(super) fn failure(namespace: &str, error: &AwsError, request_id: &str) -> String {
    let details = Xml::new()
        .leaf("Type", error.fault_of())
        .leaf("Code", &error.code)
        .leaf("Message", &error.message);
    let body = Xml::new()
        .element("Error", details)
        .leaf("RequestId", request_id);
    document("ErrorResponse", namespace, &body)
}

fn document(root: &str, namespace: &str, body: &Xml) -> String {
    format!("<{root} xmlns=\"{namespace}\">{}</{root}>", body.text)
}

fn escape_into(out: &mut String, value: &str) {
    for c in value.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            // A bare carriage return would be read as a line feed.
            '\r' => out.push_str("&#xD;"),
            // XML 1.0 has no way to write the other control characters.
            c if c.is_control() && c != '\n' && c != '\t' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_values() {
        let xml = Xml::new().leaf("A", "<a href=\"x\">&'\r\n\u{1}é");
        assert_eq!(
            xml.text,
            "<A>&lt;a href=&quot;x&quot;&gt;&amp;'&#xD;\n\u{fffd}é</A>"
        );
    }

    #[test]
    fn answers_have_the_shape_of_aws() {
        let result = Xml::new().members("Tags", [Xml::new().leaf("Key", "k")]);
        assert_eq!(
            success("urn:n", "ListUserTags", Some(result), "r-1"),
            "<ListUserTagsResponse xmlns=\"urn:n\"><ListUserTagsResult>\
             <Tags><member><Key>k</Key></member></Tags></ListUserTagsResult>\
             <ResponseMetadata><RequestId>r-1</RequestId></ResponseMetadata>\
             </ListUserTagsResponse>"
        );
        assert_eq!(
            failure("urn:n", &AwsError::throttling(), "r-2"),
            "<ErrorResponse xmlns=\"urn:n\"><Error><Type>Sender</Type>\
             <Code>Throttling</Code><Message>Rate exceeded</Message></Error>\
             <RequestId>r-2</RequestId></ErrorResponse>"
        );
    }
}
