//! Times typical templates: prints nanoseconds for one render of each, or of those whose names start with
//! the argument.
//!
//! The least of several rounds is shown; compare only what ran side by side.

use std::time::{Duration, Instant};

use waypost_template::{Context, MemoryNames, Template};

const FLAT: &str = "upstream web {\n    least_conn;\n{{- range gets \"/upstream/*\"}}\n    server {{.Value}};\n{{- end}}\n}\n";

const RICH: &str = r#"{{range gets "/app/*"}}{{$d := json .Value}}{{$hp := split $d.addr ":"}}{{if eq $d.status "up"}}    server {{index $hp 0}}:{{index $hp 1}} weight={{printf "%.0f" $d.weight}}{{if $d.backup}} backup{{else}} max_fails=3{{end}}; # {{base .Key | toUpper}}
{{end}}{{end}}"#;

const NESTED: &str = r#"{{range $s := lsdir "/svc"}}upstream {{$s}} {
    least_conn;
{{- range gets (printf "/svc/%s/upstream/*" $s)}}
    server {{.Value}};
{{- end}}
}
{{end}}"#;

const SEQ: &str = "{{range seq 1 10000}}    server 10.0.0.1:{{.}};\n{{end}}";

const GETV: &str = "{{range seq 0 9999}}    server {{getv (printf \"/upstream/%05d\" .)}};\n{{end}}";

const HAPROXY: &str = r#"{{range $i, $kv := gets "/upstream/*"}}{{$p := split .Value ":"}}    server web{{$i}} {{index $p 0}}:{{index $p 1}} check inter 2s{{if eq (mod $i 10) 0}} backup{{end}}
{{end}}"#;

fn main() -> Result<(), waypost_template::Error> {
    measure("Flat10", FLAT, &upstream(10))?;
    measure("Flat1000", FLAT, &upstream(1_000))?;
    measure("Flat10000", FLAT, &upstream(10_000))?;
    measure("Flat50000", FLAT, &upstream(50_000))?;
    measure("Rich1000", RICH, &apps(1_000))?;
    measure("Rich10000", RICH, &apps(10_000))?;
    measure("Nested100x100", NESTED, &services(100, 100))?;
    measure("Nested500x20", NESTED, &services(500, 20))?;
    measure("Seq10000", SEQ, &MemoryNames::new())?;
    measure("Getv10000", GETV, &upstream(10_000))?;
    measure("Haproxy10000", HAPROXY, &upstream(10_000))?;
    if wanted("Parse") {
        let parse = least(|| drop(Template::parse("t", RICH.as_bytes())));
        println!("{:<14} {:>12} ns", "Parse", parse.as_nanos());
    }
    Ok(())
}

fn wanted(name: &str) -> bool {
    name.starts_with(&std::env::args().nth(1).unwrap_or_default())
}

fn measure(name: &str, source: &str, names: &MemoryNames) -> Result<(), waypost_template::Error> {
    if !wanted(name) {
        return Ok(());
    }
    let template = Template::parse(name, source.as_bytes())?;
    let context = Context::new(names);
    let length = template.render(&context)?.bytes.len();
    let least = least(|| drop(template.render(&context)));
    println!("{name:<14} {:>12} ns  {length:>9} bytes", least.as_nanos());
    Ok(())
}

/// The least time of a run, looked for over half a second.
fn least(mut run: impl FnMut()) -> Duration {
    let end = Instant::now() + Duration::from_millis(500);
    let mut least = Duration::MAX;
    while Instant::now() < end {
        let start = Instant::now();
        run();
        least = least.min(start.elapsed());
    }
    least
}

fn address(index: usize) -> String {
    format!("10.{}.{}.{}:8000", index >> 16 & 255, index >> 8 & 255, index & 255)
}

fn upstream(count: usize) -> MemoryNames {
    (0..count).map(|index| (format!("/upstream/{index:05}"), address(index))).collect()
}

fn services(services: usize, each: usize) -> MemoryNames {
    let key = |service, index| (format!("/svc/s{service:03}/upstream/{index:05}"), address(index));
    (0..services).flat_map(|service| (0..each).map(move |index| key(service, index))).collect()
}

fn apps(count: usize) -> MemoryNames {
    let value = |index: usize| {
        format!(
            r#"{{"addr":"{}","weight":{},"status":"{}","backup":{},"tags":["a","b"],"meta":{{"zone":"z{}"}}}}"#,
            address(index),
            index % 100,
            if index % 10 == 9 { "down" } else { "up" },
            index.is_multiple_of(7),
            index % 3
        )
    };
    (0..count).map(|index| (format!("/app/node{index:05}"), value(index))).collect()
}
