// Command referrers-registry is go-containerregistry's registry, the one of `crane registry serve`, with the referrers
// API of OCI 1.1 switched on, which crane offers no flag for: referrers-registry HOST:PORT FOLDER.
package main

import (
	"log"
	"net/http"
	"os"

	"github.com/google/go-containerregistry/pkg/registry"
)

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: referrers-registry HOST:PORT FOLDER")
	}
	blobs := registry.NewDiskBlobHandler(os.Args[2])
	handler := registry.New(registry.WithReferrersSupport(true), registry.WithBlobHandler(blobs))
	log.Fatal(http.ListenAndServe(os.Args[1], handler))
}
