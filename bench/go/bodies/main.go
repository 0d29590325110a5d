// Bodies renders the bodies of the bench with Go's text/template, and says how long that takes.
//
// Usage: bodies DIRECTORY MILLISECONDS NAME…
//
// One line for each name: its name, the least and the middle time of a render in nanoseconds, the length and the hash
// (FNV-1a, 64 bits) of its output, and the allocations of a render. The template is parsed beforehand, and the
// buffer that the output goes to has grown before; the keys are in the map. examples/bodies in crates/template
// prints the same for waypost, of the same templates and keys.
package main

import (
	"bytes"
	"fmt"
	"hash/fnv"
	"os"
	"sort"
	"strconv"
	"testing"
	"text/template"
	"time"

	"waypost/bench/memkv"
)

type body struct {
	template string
	keys     func(memkv.Store)
}

var bodies = map[string]body{
	"Flat10":              {"flat", upstream(10)},
	"Flat10+50000":        {"flat", both(upstream(10), foreign(50_000))},
	"Flat1000":            {"flat", upstream(1_000)},
	"Flat10000":           {"flat", upstream(10_000)},
	"Flat50000":           {"flat", upstream(50_000)},
	"Rich1000":            {"rich", apps(1_000)},
	"Rich10000":           {"rich", apps(10_000)},
	"Nested100x100":       {"nested", services(100, 100)},
	"Nested100x100+50000": {"nested", both(services(100, 100), foreign(50_000))},
	"Nested500x20":        {"nested", services(500, 20)},
	"Seq10000":            {"seq", func(memkv.Store) {}},
	"Getv10000":           {"getv", upstream(10_000)},
	"Haproxy10000":        {"haproxy", upstream(10_000)},
}

func main() {
	if len(os.Args) < 3 {
		fail("usage: bodies DIRECTORY MILLISECONDS NAME…")
	}
	milliseconds, err := strconv.Atoi(os.Args[2])
	check(err)
	for _, name := range os.Args[3:] {
		body, known := bodies[name]
		if !known {
			fail("no body is called " + name)
		}
		measure(name, os.Args[1]+"/"+body.template+".tmpl", body.keys, time.Duration(milliseconds)*time.Millisecond)
	}
}

func measure(name, file string, keys func(memkv.Store), duration time.Duration) {
	store := memkv.Store{}
	keys(store)
	source, err := os.ReadFile(file)
	check(err)
	parsed, err := template.New(name).Funcs(store.Functions()).Parse(string(source))
	check(err)

	var output bytes.Buffer
	render := func() {
		output.Reset()
		check(parsed.Execute(&output, nil))
	}
	render()
	hash := fnv.New64a()
	hash.Write(output.Bytes())
	least, middle := times(duration, render)
	// Of more than one run: what the runtime itself allocates now and then is no render's.
	allocations := testing.AllocsPerRun(3, render)
	fmt.Printf("%s %d %d %d %016x %.0f\n", name, least, middle, output.Len(), hash.Sum64(), allocations)
}

// times runs for the duration, but five times at least.
func times(duration time.Duration, run func()) (least, middle int64) {
	var all []int64
	for end := time.Now().Add(duration); len(all) < 5 || time.Now().Before(end); {
		start := time.Now()
		run()
		all = append(all, time.Since(start).Nanoseconds())
	}
	sort.Slice(all, func(i, j int) bool { return all[i] < all[j] })
	return all[0], all[len(all)/2]
}

func address(index int) string {
	return fmt.Sprintf("10.%d.%d.%d:8000", index>>16&255, index>>8&255, index&255)
}

func upstream(count int) func(memkv.Store) {
	return func(store memkv.Store) {
		for index := 0; index < count; index++ {
			store.Set(fmt.Sprintf("/upstream/%05d", index), address(index))
		}
	}
}

// foreign keys are none of the bodies'.
func foreign(count int) func(memkv.Store) {
	return func(store memkv.Store) {
		for index := 0; index < count; index++ {
			store.Set(fmt.Sprintf("/other/group%03d/%05d", index%100, index), address(index))
		}
	}
}

func both(first, second func(memkv.Store)) func(memkv.Store) {
	return func(store memkv.Store) {
		first(store)
		second(store)
	}
}

func services(services, each int) func(memkv.Store) {
	return func(store memkv.Store) {
		for service := 0; service < services; service++ {
			for index := 0; index < each; index++ {
				store.Set(fmt.Sprintf("/svc/s%03d/upstream/%05d", service, index), address(index))
			}
		}
	}
}

func apps(count int) func(memkv.Store) {
	const value = `{"addr":"%s","weight":%d,"status":"%s","backup":%t,"tags":["a","b"],"meta":{"zone":"z%d"}}`
	return func(store memkv.Store) {
		for index := 0; index < count; index++ {
			status := "up"
			if index%10 == 9 {
				status = "down"
			}
			text := fmt.Sprintf(value, address(index), index%100, status, index%7 == 0, index%3)
			store.Set(fmt.Sprintf("/app/node%05d", index), text)
		}
	}
}

func check(err error) {
	if err != nil {
		fail(err.Error())
	}
}

func fail(why string) {
	fmt.Fprintln(os.Stderr, "bodies:", why)
	os.Exit(1)
}
