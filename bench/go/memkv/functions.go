package memkv

import (
	"encoding/json"
	"errors"
	"path"
	"strconv"
	"strings"
	"text/template"
)

// Functions are those of confd's that the bodies and the random templates call.
func (s Store) Functions() template.FuncMap {
	return template.FuncMap{
		"exists": s.exists, "get": s.get, "gets": s.gets, "getv": s.getv, "getvs": s.getvs, "lsdir": s.lsdir,
		"base": path.Base, "dir": path.Dir, "split": strings.Split, "join": strings.Join,
		"toUpper": strings.ToUpper, "toLower": strings.ToLower, "contains": strings.Contains,
		"replace": strings.Replace, "trimSuffix": strings.TrimSuffix,
		"json": object, "jsonArray": array, "atoi": strconv.Atoi, "parseBool": strconv.ParseBool,
		"add": func(a, b int) int { return a + b }, "sub": func(a, b int) int { return a - b },
		"mul": func(a, b int) int { return a * b }, "div": divide, "mod": modulo, "seq": sequence,
		"list": list, "dict": dictionary, "map": dictionary,
	}
}

func object(text string) (map[string]interface{}, error) {
	var parsed map[string]interface{}
	err := json.Unmarshal([]byte(text), &parsed)
	return parsed, err
}

func array(text string) ([]interface{}, error) {
	var parsed []interface{}
	err := json.Unmarshal([]byte(text), &parsed)
	return parsed, err
}

func divide(a, b int) (int, error) {
	if b == 0 {
		return 0, errors.New("division by zero")
	}
	return a / b, nil
}

func modulo(a, b int) (int, error) {
	if b == 0 {
		return 0, errors.New("modulo by zero")
	}
	return a % b, nil
}

func sequence(first, last int) []int {
	step, count := 1, last-first+1
	if first > last {
		step, count = -1, first-last+1
	}
	numbers := make([]int, 0, count)
	for at := 0; at < count; at++ {
		numbers = append(numbers, first+at*step)
	}
	return numbers
}

func list(values ...interface{}) []interface{} {
	return values
}

func dictionary(values ...interface{}) (map[string]interface{}, error) {
	if len(values)%2 != 0 {
		return nil, errors.New("a key without a value")
	}
	entries := make(map[string]interface{}, len(values)/2)
	for at := 0; at < len(values); at += 2 {
		key, isText := values[at].(string)
		if !isText {
			return nil, errors.New("a key is not a string")
		}
		entries[key] = values[at+1]
	}
	return entries, nil
}
