// Command timestamp-server is Sigstore's timestamp authority with a key in memory, without the port for metrics, which is
// a fixed one in its own main and would keep two tests from running at a time: timestamp-server PORT (on loopback).
package main

import (
	"log"
	"os"
	"strconv"
	"time"

	"github.com/sigstore/timestamp-authority/v2/pkg/server"
	"github.com/spf13/viper"
)

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: timestamp-server PORT")
	}
	port, err := strconv.Atoi(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	// what its own command line says unless told otherwise
	for name, value := range map[string]any{
		"timestamp-signer":      "memory",
		"timestamp-signer-hash": "sha256",
		"default-policy-oid":    "1.3.6.1.4.1.57264.2",
		"accepted-policy-oids":  []string{"1.3.6.1.4.1.57264.2"},
		"max-request-body-size": uint64(1 << 20),
	} {
		viper.Set(name, value)
	}
	log.Fatal(server.NewRestAPIServer("127.0.0.1", port, []string{"http"}, false, 10*time.Second, 10*time.Second).Serve())
}
