// Oracle renders cases as crates/template/tests/conformance/README.md has them, one JSON object a line, with Go's
// text/template: one result a line, in their order. It has the functions of package memkv, and reads no files.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"text/template"
	"unicode/utf8"

	"waypost/bench/memkv"
)

type testCase struct {
	Name     string            `json:"name"`
	Template string            `json:"template"`
	Keys     map[string]string `json:"keys"`
}

type result struct {
	Name    string  `json:"name"`
	Output  *string `json:"output,omitempty"`
	Bytes   []byte  `json:"output_base64,omitempty"` // if it is not UTF-8
	Error   string  `json:"error,omitempty"`
	Message string  `json:"message,omitempty"`
}

func main() {
	lines := bufio.NewReader(os.Stdin)
	results := bufio.NewWriter(os.Stdout)
	defer results.Flush()
	decoder, encoder := json.NewDecoder(lines), json.NewEncoder(results)
	for decoder.More() {
		var wanted testCase
		if err := decoder.Decode(&wanted); err != nil {
			fmt.Fprintln(os.Stderr, "oracle:", err)
			os.Exit(1)
		}
		if err := encoder.Encode(render(wanted)); err != nil {
			fmt.Fprintln(os.Stderr, "oracle:", err)
			os.Exit(1)
		}
	}
}

// A panic within Go's own text/template is a failure like others: confd ends with it.
func render(wanted testCase) (done result) {
	defer func() {
		if why := recover(); why != nil {
			done = result{Name: wanted.Name, Error: "exec", Message: fmt.Sprint("panic: ", why)}
		}
	}()
	store := memkv.Store{}
	for key, value := range wanted.Keys {
		store.Set(key, value)
	}
	parsed, err := template.New("main.tmpl").Funcs(store.Functions()).Parse(wanted.Template)
	if err != nil {
		return result{Name: wanted.Name, Error: "parse", Message: err.Error()}
	}
	var output bytes.Buffer
	if err := parsed.Execute(&output, nil); err != nil {
		return result{Name: wanted.Name, Error: "exec", Message: err.Error()}
	}
	if !utf8.Valid(output.Bytes()) {
		return result{Name: wanted.Name, Bytes: output.Bytes()}
	}
	text := output.String()
	return result{Name: wanted.Name, Output: &text}
}
