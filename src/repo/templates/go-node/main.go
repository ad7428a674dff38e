// A service that shows the page which Node bundled: where to begin.
package main

import (
	"embed"
	"flag"
	"io"
	"io/fs"
	"log"
	"net/http"
)

var version = "unknown" // set by the linker

//go:embed page/dist
var files embed.FS

func main() {
	listen := flag.String("listen", ":8080", "address to listen on")
	flag.Parse()
	page, err := fs.Sub(files, "page/dist")
	if err != nil {
		log.Fatal(err)
	}
	http.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok\n") })
	http.HandleFunc("/api/version", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, version+"\n") })
	http.Handle("/", http.FileServer(http.FS(page)))
	log.Printf("@NAME@ %s on %s", version, *listen)
	log.Fatal(http.ListenAndServe(*listen, nil))
}
