// Package memkv has functions for templates that do what confd's do, in the way confd does it: the keys are in
// a map, and whatever asks for some of them looks at all.
package memkv

import (
	"errors"
	"fmt"
	"path"
	"sort"
	"strings"
)

// KVPair is a key with its value; it and its package are called as in confd, which %T and %#v print.
type KVPair struct {
	Key   string
	Value string
}

// KVPairs are sorted by their keys.
type KVPairs []KVPair

func (p KVPairs) Len() int           { return len(p) }
func (p KVPairs) Less(i, j int) bool { return p[i].Key < p[j].Key }
func (p KVPairs) Swap(i, j int)      { p[i], p[j] = p[j], p[i] }

// Store holds the keys that templates read.
type Store map[string]KVPair

// Set adds a key, or replaces its value.
func (s Store) Set(key, value string) {
	s[key] = KVPair{key, value}
}

func (s Store) exists(key string) bool {
	_, there := s[key]
	return there
}

func (s Store) get(key string) (KVPair, error) {
	pair, there := s[key]
	if !there {
		return KVPair{}, fmt.Errorf("key does not exist: %s", key)
	}
	return pair, nil
}

func (s Store) getv(key string, otherwise ...string) (string, error) {
	pair, there := s[key]
	switch {
	case there:
		return pair.Value, nil
	case len(otherwise) > 0:
		return otherwise[0], nil
	}
	return "", errors.New("key does not exist: " + key)
}

func (s Store) gets(pattern string) (KVPairs, error) {
	var found KVPairs
	for _, pair := range s {
		matches, err := path.Match(pattern, pair.Key)
		if err != nil {
			return nil, err
		}
		if matches {
			found = append(found, pair)
		}
	}
	sort.Sort(found)
	return found, nil
}

func (s Store) getvs(pattern string) ([]string, error) {
	pairs, err := s.gets(pattern)
	if err != nil {
		return nil, err
	}
	values := make([]string, len(pairs))
	for at, pair := range pairs {
		values[at] = pair.Value
	}
	sort.Strings(values)
	return values, nil
}

// lsdir names the directories directly below one.
func (s Store) lsdir(directory string) []string {
	wanted := terms(directory)
	found := make(map[string]struct{}, 64)
	for _, pair := range s {
		if !strings.HasPrefix(pair.Key, directory) {
			continue
		}
		parents := terms(path.Dir(pair.Key))
		if len(parents) > len(wanted) && begins(parents, wanted) {
			found[parents[len(wanted)]] = struct{}{}
		}
	}
	names := make([]string, 0, len(found))
	for name := range found {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

func terms(name string) []string {
	return strings.Split(path.Clean(name), "/")
}

func begins(all, first []string) bool {
	for at, term := range first {
		if all[at] != term {
			return false
		}
	}
	return true
}
