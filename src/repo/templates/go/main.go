// A service that says who it is: where to begin.
package main

import (
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
)

var version = "unknown" // set by the linker

func main() {
	listen := flag.String("listen", ":8080", "address to listen on")
	flag.Parse()
	http.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok\n") })
	http.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintf(w, "@NAME@ %s\n", version) })
	log.Printf("@NAME@ %s on %s", version, *listen)
	log.Fatal(http.ListenAndServe(*listen, nil))
}
