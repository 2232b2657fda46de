// How a program in Go resolves names: the resolver of its own, as built without cgo.
//
// Each line read is a question, "KIND NAME REVERSE", and answered by one line: "ok" and what was
// found, or "error" and what the library calls it.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
)

var networks = map[string]string{"any": "ip", "a": "ip4", "aaaa": "ip6"}

func find(kind, name string) ([]string, error) {
	resolver := &net.Resolver{PreferGo: true}
	ctx := context.Background()
	var found []string
	switch kind {
	case "any", "a", "aaaa":
		addresses, err := resolver.LookupNetIP(ctx, networks[kind], name)
		for _, address := range addresses {
			found = append(found, address.Unmap().String())
		}
		return found, err
	case "srv":
		_, services, err := resolver.LookupSRV(ctx, "", "", name)
		for _, service := range services {
			found = append(found, fmt.Sprintf("%s:%d", service.Target, service.Port))
		}
		return found, err
	case "ptr":
		return resolver.LookupAddr(ctx, name)
	}
	return nil, errors.New("not a question")
}

func explain(err error) string {
	var told *net.DNSError
	switch {
	case !errors.As(err, &told):
		return err.Error()
	case told.IsNotFound:
		return "IsNotFound"
	case told.IsTimeout:
		return "IsTimeout"
	case told.IsTemporary:
		return "IsTemporary"
	}
	return told.Error()
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		words := append(strings.Fields(lines.Text()), "", "")
		found, err := find(words[0], words[1])
		if err != nil {
			fmt.Println("error", explain(err))
		} else {
			fmt.Println("ok", strings.Join(found, " "))
		}
	}
}
