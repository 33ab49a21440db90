//! OLPC canonical JSON, over which in-toto's old format is signed: sorted keys, no spaces, only quote and
//! backslash escaped.

use std::collections::BTreeMap;

use serde_json::Value;

/// Writes a value; `None` for a fraction, which has no canonical form.
pub(crate) fn canonical_json(value: &Value) -> Option<Vec<u8>> {
    let mut out = String::new();
    write_canonical(value, &mut out)?;
    Some(out.into_bytes())
}

fn write_canonical(value: &Value, out: &mut String) -> Option<()> {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Number(number) => {
            if number.is_f64() {
                return None;
            }
            out.push_str(&number.to_string());
        }
        Value::String(text) => write_string(text, out),
        Value::Array(values) => {
            out.push('[');
            for (index, value) in values.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_canonical(value, out)?;
            }
            out.push(']');
        }
        Value::Object(fields) => {
            let sorted: BTreeMap<&String, &Value> = fields.iter().collect();
            out.push('{');
            for (index, (key, value)) in sorted.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_string(key, out);
                out.push(':');
                write_canonical(value, out)?;
            }
            out.push('}');
        }
    }
    Some(())
}

fn write_string(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_json_is_sorted_and_bare() {
        let value = serde_json::json!({"b": [1, -2, null, true], "a": "q\"b\\é/\u{1}"});
        let text = String::from_utf8(canonical_json(&value).unwrap()).unwrap();
        assert_eq!(text, "{\"a\":\"q\\\"b\\\\é/\u{1}\",\"b\":[1,-2,null,true]}");
        assert!(canonical_json(&serde_json::json!([1.5])).is_none());
    }
}
