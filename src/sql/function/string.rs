//! Strings and bytes.
//!
//! Lengths and positions count characters. Case is that of collation C: ASCII letters change, others stay as they are.

use super::{Body, Case, Function, Volatility, check_size, md5};
use crate::sql::context::Context;
use crate::sql::operator::{to_i64, to_str, wrong_operand};
use crate::types::{DataType, SqlError, SqlState, Value, text};

use DataType::{Bool, Bytea, Char, Int4, Text};

/// A strict, immutable entry.
const fn entry(
    name: &'static str,
    arguments: &'static [DataType],
    result: DataType,
    doc: &'static str,
    body: fn(&[Value]) -> Result<Value, SqlError>,
    cases: &'static [Case],
) -> Function {
    Function {
        name,
        arguments,
        variadic: false,
        result,
        volatility: Volatility::Immutable,
        strict: true,
        doc,
        body: Body::Pure(body),
        cases,
    }
}

/// The list.
pub(super) const FUNCTIONS: &[Function] = &[
    entry("length", &[Text], Int4, "Number of characters", length, &[(&[Some("jösé")], Some("4"))]),
    entry("length", &[Bytea], Int4, "Number of bytes", octets, &[(&[Some("\\x0102")], Some("2"))]),
    entry("char_length", &[Text], Int4, "Number of characters", length, &[(&[Some("jösé")], Some("4"))]),
    entry("character_length", &[Text], Int4, "Number of characters", length, &[(&[Some("")], Some("0"))]),
    entry("octet_length", &[Text], Int4, "Number of bytes", octets, &[(&[Some("jösé")], Some("6"))]),
    entry("octet_length", &[Char(0)], Int4, "Number of bytes, blanks too", octets, &[(&[Some("a ")], Some("2"))]),
    entry("octet_length", &[Bytea], Int4, "Number of bytes", octets, &[(&[Some("\\x0102")], Some("2"))]),
    entry(
        "bit_length",
        &[Text],
        Int4,
        "Number of bits",
        |a| Ok(count(to_str(&a[0])?.len() * 8)),
        &[(&[Some("ab")], Some("16"))],
    ),
    entry(
        "lower",
        &[Text],
        Text,
        "In lower case",
        |a| Ok(Value::text(to_str(&a[0])?.to_ascii_lowercase())),
        &[(&[Some("TOM")], Some("tom"))],
    ),
    entry(
        "upper",
        &[Text],
        Text,
        "In upper case",
        |a| Ok(Value::text(to_str(&a[0])?.to_ascii_uppercase())),
        &[(&[Some("tom")], Some("TOM"))],
    ),
    entry(
        "initcap",
        &[Text],
        Text,
        "First letter of each word in upper case",
        initcap,
        &[(&[Some("hi THOMAS o'neil")], Some("Hi Thomas O'Neil"))],
    ),
    entry(
        "btrim",
        &[Text],
        Text,
        "Without blanks at both ends",
        |a| trim(a, true, true),
        &[(&[Some("  a b ")], Some("a b"))],
    ),
    entry(
        "btrim",
        &[Text, Text],
        Text,
        "Without these characters at both ends",
        |a| trim(a, true, true),
        &[(&[Some("xyxtrimyyx"), Some("xyz")], Some("trim"))],
    ),
    entry(
        "ltrim",
        &[Text],
        Text,
        "Without blanks at the start",
        |a| trim(a, true, false),
        &[(&[Some("  a ")], Some("a "))],
    ),
    entry(
        "ltrim",
        &[Text, Text],
        Text,
        "Without these characters at the start",
        |a| trim(a, true, false),
        &[(&[Some("zzzytest"), Some("xyz")], Some("test"))],
    ),
    entry(
        "rtrim",
        &[Text],
        Text,
        "Without blanks at the end",
        |a| trim(a, false, true),
        &[(&[Some("  a ")], Some("  a"))],
    ),
    entry(
        "rtrim",
        &[Text, Text],
        Text,
        "Without these characters at the end",
        |a| trim(a, false, true),
        &[(&[Some("testxxzx"), Some("xyz")], Some("test"))],
    ),
    entry(
        "substring",
        &[Text, Int4],
        Text,
        "From a position on",
        substring,
        &[(&[Some("Thomas"), Some("3")], Some("omas"))],
    ),
    entry(
        "substring",
        &[Text, Int4, Int4],
        Text,
        "From a position, that many characters",
        substring,
        &[
            (&[Some("Thomas"), Some("2"), Some("3")], Some("hom")),
            (&[Some("Thomas"), Some("-1"), Some("4")], Some("Th")),
        ],
    ),
    entry(
        "substring",
        &[Bytea, Int4, Int4],
        Bytea,
        "From a position, that many bytes",
        substring,
        &[(&[Some("\\x01020304"), Some("2"), Some("2")], Some("\\x0203"))],
    ),
    entry(
        "substring",
        &[Bytea, Int4],
        Bytea,
        "From a position on",
        substring,
        &[(&[Some("\\x010203"), Some("2")], Some("\\x0203"))],
    ),
    entry(
        "substr",
        &[Text, Int4],
        Text,
        "From a position on",
        substring,
        &[(&[Some("alphabet"), Some("3")], Some("phabet"))],
    ),
    entry(
        "substr",
        &[Text, Int4, Int4],
        Text,
        "From a position, that many characters",
        substring,
        &[(&[Some("alphabet"), Some("3"), Some("2")], Some("ph"))],
    ),
    entry(
        "replace",
        &[Text, Text, Text],
        Text,
        "Each occurrence of the second replaced by the third",
        replace,
        &[
            (&[Some("abcdefabcdef"), Some("cd"), Some("XX")], Some("abXXefabXXef")),
            (&[Some("abc"), Some(""), Some("X")], Some("abc")),
        ],
    ),
    entry(
        "position",
        &[Text, Text],
        Int4,
        "Where the second begins in the first, from 1; 0: nowhere",
        strpos,
        &[(&[Some("Thomas"), Some("om")], Some("3"))],
    ),
    entry(
        "strpos",
        &[Text, Text],
        Int4,
        "Where the second begins in the first, from 1; 0: nowhere",
        strpos,
        &[(&[Some("high"), Some("ig")], Some("2"))],
    ),
    entry(
        "left",
        &[Text, Int4],
        Text,
        "First characters; negative: all but the last",
        |a| side(a, true),
        &[(&[Some("abcde"), Some("2")], Some("ab")), (&[Some("abcde"), Some("-2")], Some("abc"))],
    ),
    entry(
        "right",
        &[Text, Int4],
        Text,
        "Last characters; negative: all but the first",
        |a| side(a, false),
        &[(&[Some("abcde"), Some("2")], Some("de")), (&[Some("abcde"), Some("-2")], Some("cde"))],
    ),
    entry("repeat", &[Text, Int4], Text, "That many times", repeat, &[(&[Some("Pg"), Some("4")], Some("PgPgPgPg"))]),
    entry(
        "reverse",
        &[Text],
        Text,
        "Backwards",
        |a| Ok(Value::text(to_str(&a[0])?.chars().rev().collect::<String>())),
        &[(&[Some("abcde")], Some("edcba"))],
    ),
    entry(
        "lpad",
        &[Text, Int4],
        Text,
        "Filled at the start to a length, or cut off",
        |a| pad(a, true),
        &[(&[Some("hi"), Some("5")], Some("   hi"))],
    ),
    entry(
        "lpad",
        &[Text, Int4, Text],
        Text,
        "Filled at the start to a length, or cut off",
        |a| pad(a, true),
        &[(&[Some("hi"), Some("5"), Some("xy")], Some("xyxhi"))],
    ),
    entry(
        "rpad",
        &[Text, Int4],
        Text,
        "Filled at the end to a length, or cut off",
        |a| pad(a, false),
        &[(&[Some("hi"), Some("1")], Some("h"))],
    ),
    entry(
        "rpad",
        &[Text, Int4, Text],
        Text,
        "Filled at the end to a length, or cut off",
        |a| pad(a, false),
        &[(&[Some("hi"), Some("5"), Some("xy")], Some("hixyx"))],
    ),
    entry(
        "md5",
        &[Text],
        Text,
        "MD5 as hexadecimal digits",
        |a| Ok(Value::text(md5::hex(to_str(&a[0])?.as_bytes()))),
        &[(&[Some("abc")], Some("900150983cd24fb0d6963f7d28e17f72"))],
    ),
    entry(
        "md5",
        &[Bytea],
        Text,
        "MD5 as hexadecimal digits",
        |a| match &a[0] {
            Value::Bytea(bytes) => Ok(Value::text(md5::hex(bytes))),
            other => Err(wrong_operand(other)),
        },
        &[(&[Some("\\x")], Some("d41d8cd98f00b204e9800998ecf8427e"))],
    ),
    entry("chr", &[Int4], Text, "The character of a code point", chr, &[(&[Some("65")], Some("A"))]),
    entry(
        "ascii",
        &[Text],
        Int4,
        "Code point of the first character",
        |a| Ok(Value::Int4(to_str(&a[0])?.chars().next().map_or(0, |c| u32::from(c).cast_signed()))),
        &[(&[Some("x")], Some("120"))],
    ),
    entry(
        "split_part",
        &[Text, Text, Int4],
        Text,
        "The n-th of the fields between delimiters",
        split_part,
        &[
            (&[Some("abc~@~def~@~ghi"), Some("~@~"), Some("2")], Some("def")),
            (&[Some("abc,def,ghi,jkl"), Some(","), Some("-2")], Some("ghi")),
        ],
    ),
    entry(
        "starts_with",
        &[Text, Text],
        Bool,
        "Does the first begin with the second?",
        |a| Ok(Value::Bool(to_str(&a[0])?.starts_with(to_str(&a[1])?))),
        &[(&[Some("alphabet"), Some("alph")], Some("t"))],
    ),
    entry(
        "to_hex",
        &[Int4],
        Text,
        "As hexadecimal digits",
        |a| Ok(Value::text(format!("{:x}", to_i64(&a[0])? as i32))),
        &[(&[Some("-1")], Some("ffffffff"))],
    ),
    entry(
        "translate",
        &[Text, Text, Text],
        Text,
        "Each character of the second replaced by its counterpart in the third",
        translate,
        &[(&[Some("12345"), Some("143"), Some("ax")], Some("a2x5"))],
    ),
    entry(
        "substr",
        &[Bytea, Int4],
        Bytea,
        "From a position on",
        substring,
        &[(&[Some("\\x010203"), Some("2")], Some("\\x0203"))],
    ),
    entry(
        "substr",
        &[Bytea, Int4, Int4],
        Bytea,
        "From a position, that many bytes",
        substring,
        &[(&[Some("\\x0102"), Some("1"), Some("1")], Some("\\x01"))],
    ),
    entry(
        "to_hex",
        &[DataType::Int8],
        Text,
        "As hexadecimal digits",
        |a| Ok(Value::text(format!("{:x}", to_i64(&a[0])?))),
        &[(&[Some("2147483647")], Some("7fffffff"))],
    ),
    Function {
        name: "concat",
        arguments: &[],
        variadic: true,
        result: Text,
        volatility: Volatility::Stable,
        strict: false,
        doc: "All arguments as text, NULLs left out",
        body: Body::InContext(|context, arguments| join(context, "", arguments)),
        cases: &[],
    },
    Function {
        name: "concat_ws",
        arguments: &[Text],
        variadic: true,
        result: Text,
        volatility: Volatility::Stable,
        strict: false,
        doc: "All arguments but the first as text, NULLs left out, the first between them",
        body: Body::InContext(|context, arguments| match &arguments[0] {
            Value::Null => Ok(Value::Null),
            separator => join(context, to_str(separator)?, &arguments[1..]),
        }),
        cases: &[],
    },
];

fn count(length: usize) -> Value {
    Value::Int4(i32::try_from(length).unwrap_or(i32::MAX))
}

fn to_usize(value: &Value) -> Result<usize, SqlError> {
    Ok(usize::try_from(to_i64(value)?.max(0)).unwrap_or(0))
}

fn length(arguments: &[Value]) -> Result<Value, SqlError> {
    Ok(count(to_str(&arguments[0])?.chars().count()))
}

fn octets(arguments: &[Value]) -> Result<Value, SqlError> {
    match &arguments[0] {
        Value::Bytea(bytes) => Ok(count(bytes.len())),
        other => Ok(count(to_str(other)?.len())),
    }
}

fn initcap(arguments: &[Value]) -> Result<Value, SqlError> {
    let mut in_word = false;
    let capitalised: String = to_str(&arguments[0])?
        .chars()
        .map(|c| {
            let shown = if in_word { c.to_ascii_lowercase() } else { c.to_ascii_uppercase() };
            in_word = c.is_ascii_alphanumeric();
            shown
        })
        .collect();
    Ok(Value::text(capitalised))
}

fn trim(arguments: &[Value], start: bool, end: bool) -> Result<Value, SqlError> {
    let set: Vec<char> = arguments.get(1).map_or(Ok(" "), to_str)?.chars().collect();
    let mut text = to_str(&arguments[0])?;
    if start {
        text = text.trim_start_matches(&set[..]);
    }
    if end {
        text = text.trim_end_matches(&set[..]);
    }
    Ok(Value::text(text))
}

fn substring(arguments: &[Value]) -> Result<Value, SqlError> {
    let start = to_i64(&arguments[1])?;
    let end = match arguments.get(2) {
        None => i64::MAX,
        Some(length) => {
            let length = to_i64(length)?;
            if length < 0 {
                return Err(SqlError::new(SqlState::SUBSTRING_ERROR, "negative substring length not allowed"));
            }
            start + length
        }
    };
    let skip = usize::try_from((start - 1).max(0)).unwrap_or(usize::MAX);
    let keep = usize::try_from((end - start.max(1)).max(0)).unwrap_or(usize::MAX);
    match &arguments[0] {
        Value::Bytea(bytes) => {
            let first = skip.min(bytes.len());
            let last = first.saturating_add(keep).min(bytes.len());
            Ok(Value::Bytea(bytes.slice(first..last)))
        }
        other => Ok(Value::text(to_str(other)?.chars().skip(skip).take(keep).collect::<String>())),
    }
}

fn replace(arguments: &[Value]) -> Result<Value, SqlError> {
    let (text, from, to) = (to_str(&arguments[0])?, to_str(&arguments[1])?, to_str(&arguments[2])?);
    if from.is_empty() {
        return Ok(arguments[0].clone());
    }
    let occurrences = text.matches(from).count();
    check_size(text.len().saturating_add(occurrences.saturating_mul(to.len().saturating_sub(from.len()))))?;
    Ok(Value::text(text.replace(from, to)))
}

fn translate(arguments: &[Value]) -> Result<Value, SqlError> {
    let from: Vec<char> = to_str(&arguments[1])?.chars().collect();
    let to: Vec<char> = to_str(&arguments[2])?.chars().collect();
    let changed = to_str(&arguments[0])?.chars().filter_map(|c| match from.iter().position(|known| *known == c) {
        Some(at) => to.get(at).copied(),
        None => Some(c),
    });
    Ok(Value::text(changed.collect::<String>()))
}

fn strpos(arguments: &[Value]) -> Result<Value, SqlError> {
    let text = to_str(&arguments[0])?;
    Ok(text.find(to_str(&arguments[1])?).map_or(Value::Int4(0), |at| count(text[..at].chars().count() + 1)))
}

fn side(arguments: &[Value], left: bool) -> Result<Value, SqlError> {
    let text = to_str(&arguments[0])?;
    let wanted = to_i64(&arguments[1])?;
    let length = i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
    let kept = if wanted >= 0 { wanted.min(length) } else { (length + wanted).max(0) };
    let skipped = if left { 0 } else { length - kept };
    let characters = text.chars().skip(usize::try_from(skipped).unwrap_or(0));
    Ok(Value::text(characters.take(usize::try_from(kept).unwrap_or(0)).collect::<String>()))
}

fn repeat(arguments: &[Value]) -> Result<Value, SqlError> {
    let (text, times) = (to_str(&arguments[0])?, to_usize(&arguments[1])?);
    check_size(text.len().saturating_mul(times))?;
    Ok(Value::text(text.repeat(times)))
}

fn pad(arguments: &[Value], left: bool) -> Result<Value, SqlError> {
    let (text, length) = (to_str(&arguments[0])?, to_usize(&arguments[1])?);
    let fill = arguments.get(2).map_or(Ok(" "), to_str)?;
    let have = text.chars().count();
    if have >= length || fill.is_empty() {
        return Ok(Value::text(text.chars().take(length).collect::<String>()));
    }
    let longest = fill.chars().map(char::len_utf8).max().unwrap_or(1);
    check_size((length - have).saturating_mul(longest).saturating_add(text.len()))?;
    let filling: String = fill.chars().cycle().take(length - have).collect();
    Ok(Value::text(if left { filling + text } else { text.to_owned() + &filling }))
}

fn chr(arguments: &[Value]) -> Result<Value, SqlError> {
    let limit = |message: String| SqlError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message);
    let code = to_i64(&arguments[0])?;
    match u32::try_from(code) {
        Err(_) => Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, "character number must be positive".to_owned())),
        Ok(0) => Err(limit("null character not permitted".to_owned())),
        Ok(code) if code > 0x10_ffff => Err(limit(format!("requested character too large for encoding: {code}"))),
        Ok(code) => char::from_u32(code)
            .map(|c| Value::text(c.to_string()))
            .ok_or_else(|| limit(format!("requested character not valid for encoding: {code}"))),
    }
}

fn split_part(arguments: &[Value]) -> Result<Value, SqlError> {
    let (text, delimiter) = (to_str(&arguments[0])?, to_str(&arguments[1])?);
    let wanted = to_i64(&arguments[2])?;
    let at = usize::try_from(wanted.unsigned_abs()).unwrap_or(usize::MAX);
    if at == 0 {
        return Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, "field position must not be zero"));
    }
    if delimiter.is_empty() {
        return Ok(Value::text(if at == 1 { text } else { "" }));
    }
    let fields: Vec<&str> = text.split(delimiter).collect();
    let index = if wanted > 0 { Some(at - 1) } else { fields.len().checked_sub(at) };
    Ok(Value::text(index.and_then(|index| fields.get(index).copied()).unwrap_or("")))
}

fn join(context: &Context, separator: &str, arguments: &[Value]) -> Result<Value, SqlError> {
    let mut out = String::new();
    let mut first = true;
    for value in arguments.iter().filter(|value| !value.is_null()) {
        if !first {
            out.push_str(separator);
        }
        first = false;
        text::write_value(&mut out, value, &context.time.zone);
        check_size(out.len())?;
    }
    Ok(Value::text(out))
}
