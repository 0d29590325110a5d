//! The table of all functions, ordered by name.

use super::Param::{Any, Bool, Int, List, Map, Pairs as PairList, Raw, Strings, Text};
use super::{Body, Function, Param, Since, builtins, collections, compare, math, strings, words};
use crate::{include, json, regex, store, surroundings, time};

const fn go(name: &'static str, params: &'static [Param], run: Body) -> Function {
    Function::new(name, params, run, Since::Go)
}

/// confd 0.16 knows it, and the fork.
const fn k(name: &'static str, params: &'static [Param], run: Body) -> Function {
    Function::new(name, params, run, Since::Confd016)
}

/// The fork of confd knows it.
const fn a(name: &'static str, params: &'static [Param], run: Body) -> Function {
    Function::new(name, params, run, Since::Confd041)
}

/// waypost alone knows it.
const fn w(name: &'static str, params: &'static [Param], run: Body) -> Function {
    Function::new(name, params, run, Since::Waypost)
}

pub(super) static FUNCTIONS: &[Function] = &[
    k("add", &[Int, Int], math::add),
    go("and", &[Raw, Raw], builtins::logic).variadic().boxed(),
    a("append", &[List, Any], collections::append),
    k("atoi", &[Text], math::atoi),
    k("base", &[Text], strings::base),
    k("base64Decode", &[Text], strings::base64_decode),
    k("base64Encode", &[Text], strings::base64_encode),
    go("call", &[Raw, Raw], builtins::call).variadic().boxed(),
    a("camelcase", &[Text], words::camelcase),
    a("coalesce", &[Any], collections::coalesce).variadic().boxed(),
    k("contains", &[Text, Text], strings::contains),
    k("datetime", &[], time::datetime),
    a("default", &[Any, Any], collections::default).boxed(),
    a("dict", &[Any], collections::dict).variadic(),
    k("dir", &[Text], strings::dir),
    k("div", &[Int, Int], math::div),
    a("empty", &[Any], collections::empty),
    go("eq", &[Raw, Raw], compare::eq).variadic(),
    k("exists", &[Text], store::exists),
    k("fileExists", &[Text], surroundings::file_exists),
    a("fromJson", &[Text], json::from_json).boxed(),
    go("ge", &[Raw, Raw], compare::ge),
    k("get", &[Text], store::get),
    k("getenv", &[Text, Text], surroundings::getenv).variadic(),
    k("gets", &[Text], store::gets),
    k("getv", &[Text, Text], store::getv).variadic(),
    k("getvs", &[Text], store::getvs),
    go("gt", &[Raw, Raw], compare::gt),
    a("hasKey", &[Map, Text], collections::has_key),
    w("hasPrefix", &[Text, Text], strings::has_prefix),
    w("hasSuffix", &[Text, Text], strings::has_suffix),
    a("hostname", &[], surroundings::hostname),
    go("html", &[Any], builtins::html).variadic(),
    a("include", &[Text, Any], include::include).variadic(),
    a("indent", &[Int, Text], strings::indent),
    go("index", &[Raw, Raw], builtins::index).variadic().boxed(),
    k("join", &[Strings, Text], strings::join),
    go("js", &[Any], builtins::js).variadic(),
    k("json", &[Text], json::json),
    k("jsonArray", &[Text], json::json_array),
    a("kebabcase", &[Text], words::kebabcase),
    a("keys", &[Map], collections::keys),
    go("le", &[Raw, Raw], compare::le),
    go("len", &[Raw], builtins::len),
    a("list", &[Any], collections::list_of).variadic(),
    k("lookupIP", &[Text], surroundings::lookup_ip),
    k("lookupIPV4", &[Text], surroundings::lookup_ipv4),
    k("lookupIPV6", &[Text], surroundings::lookup_ipv6),
    a("lookupIfaceIPV4", &[Text], surroundings::lookup_iface_ipv4),
    a("lookupIfaceIPV6", &[Text], surroundings::lookup_iface_ipv6),
    k("lookupSRV", &[Text, Text, Text], surroundings::lookup_srv),
    k("ls", &[Text], store::ls),
    k("lsdir", &[Text], store::lsdir),
    go("lt", &[Raw, Raw], compare::lt),
    k("map", &[Any], collections::dict).variadic(),
    k("mod", &[Int, Int], math::modulo),
    k("mul", &[Int, Int], math::mul),
    go("ne", &[Raw, Raw], compare::ne),
    a("nindent", &[Int, Text], strings::nindent),
    a("nospace", &[Text], strings::nospace),
    go("not", &[Raw], builtins::not),
    go("or", &[Raw, Raw], builtins::logic).variadic().boxed(),
    k("parseBool", &[Text], math::parse_bool),
    a("pluck", &[Text, Map], collections::pluck).variadic(),
    go("print", &[Any], builtins::print).variadic(),
    go("printf", &[Text, Any], builtins::printf).variadic(),
    go("println", &[Any], builtins::println).variadic(),
    a("quote", &[Text], strings::quote),
    a("regexFind", &[Text, Text], regex::regex_find),
    a("regexMatch", &[Text, Text], regex::regex_match),
    a("regexReplaceAll", &[Text, Text, Text], regex::regex_replace_all),
    a("repeat", &[Int, Text], strings::repeat),
    k("replace", &[Text, Text, Text, Int], strings::replace),
    k("reverse", &[Any], collections::reverse).boxed(),
    k("seq", &[Int, Int], math::seq),
    a("sha256sum", &[Text], strings::sha256sum),
    go("slice", &[Raw, Raw], builtins::slice).variadic(),
    a("snakecase", &[Text], words::snakecase),
    k("sortByLength", &[Strings], collections::sort_by_length),
    k("sortKVByLength", &[PairList], collections::sort_kv_by_length),
    k("split", &[Text, Text], strings::split),
    a("squote", &[Text], strings::squote),
    k("sub", &[Int, Int], math::sub),
    a("ternary", &[Any, Any, Bool], collections::ternary).boxed(),
    a("toJson", &[Any], json::to_json),
    k("toLower", &[Text], strings::to_lower),
    a("toPrettyJson", &[Any], json::to_pretty_json),
    k("toUpper", &[Text], strings::to_upper),
    a("trimPrefix", &[Text, Text], strings::trim_prefix),
    k("trimSuffix", &[Text, Text], strings::trim_suffix),
    go("urlquery", &[Any], builtins::urlquery).variadic(),
    a("values", &[Map], collections::values),
];
