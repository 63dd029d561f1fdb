// Package argocd runs health checks and actions as Argo CD does: by the same Lua
// for Go, with no more of its libraries than a script of a user's own gets there.
package argocd

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	lua "github.com/yuin/gopher-lua"
	luajson "layeh.com/gopher-json"
)

// patience is what Argo CD gives a script.
const patience = time.Second

// run executes a script on an object and returns what it answers, as JSON.
func run(script string, object map[string]any, now time.Time) ([]byte, error) {
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	libraries := map[string]lua.LGFunction{
		lua.LoadLibName: lua.OpenPackage,
		lua.BaseLibName: lua.OpenBase,
		lua.TabLibName:  lua.OpenTable,
	}
	for _, name := range []string{lua.LoadLibName, lua.BaseLibName, lua.TabLibName} {
		open := lua.P{Fn: state.NewFunction(libraries[name]), Protect: true}
		if err := state.CallByParam(open, lua.LString(name)); err != nil {
			return nil, err
		}
	}
	state.PreloadModule(lua.OsLibName, clock(now))
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	state.SetContext(ctx)
	state.SetGlobal("obj", luajson.DecodeValue(state, object))
	if err := state.DoString(script); err != nil {
		return nil, err
	}
	answer := state.Get(-1)
	if answer.Type() != lua.LTTable {
		return nil, fmt.Errorf("the script returned a %s, not a table", answer.Type())
	}
	return luajson.Encode(answer)
}

// clock is the part of the library os that Argo CD lets in, at a fixed time.
func clock(now time.Time) lua.LGFunction {
	return func(state *lua.LState) int {
		state.Push(state.SetFuncs(state.NewTable(), map[string]lua.LGFunction{
			"time": func(state *lua.LState) int {
				state.Push(lua.LNumber(now.Unix()))
				return 1
			},
			"date": func(state *lua.LState) int {
				state.Push(lua.LString(date(state.CheckString(1), now)))
				return 1
			},
		}))
		return 1
	}
}

// merged puts back what Lua loses: an empty table is neither list nor map there,
// and comes out as a list. Argo CD does the same with what an action returns.
func merged(after, before map[string]any) map[string]any {
	for key, was := range before {
		is, ok := after[key]
		if !ok {
			continue
		}
		switch was := was.(type) {
		case map[string]any:
			if list, ok := is.([]any); ok && len(list) == 0 {
				after[key] = was
			} else if table, ok := is.(map[string]any); ok {
				after[key] = merged(table, was)
			}
		case []any:
			list, ok := is.([]any)
			if !ok || len(list) != len(was) {
				continue
			}
			for i := range list {
				item, ok := list[i].(map[string]any)
				if before, both := was[i].(map[string]any); ok && both {
					list[i] = merged(item, before)
				}
			}
		}
	}
	return after
}

// object reads one answer.
func object(answer []byte) (map[string]any, error) {
	read := map[string]any{}
	return read, json.Unmarshal(answer, &read)
}
