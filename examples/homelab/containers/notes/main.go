// Serves the Markdown files of a folder: /api/notes lists them as JSON, /notes/<name> shows one as a page.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"html/template"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/yuin/goldmark"
)

var version = "unknown" // set by the linker

type note struct {
	Name  string        `json:"name"`
	Title string        `json:"title"`
	Words int           `json:"words"`
	Body  template.HTML `json:"-"`
}

var page = template.Must(template.New("page").Parse(
	`<!doctype html><meta charset="utf-8"><title>{{.Title}}</title>{{.Body}}`))

func load(dir string) ([]note, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.md"))
	if err != nil {
		return nil, err
	}
	sort.Strings(files)
	notes := []note{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		var html bytes.Buffer
		if err := goldmark.Convert(text, &html); err != nil {
			return nil, err
		}
		first, _, _ := strings.Cut(string(text), "\n")
		notes = append(notes, note{
			Name:  strings.TrimSuffix(filepath.Base(file), ".md"),
			Title: strings.TrimSpace(strings.TrimLeft(first, "#")),
			Words: len(strings.Fields(string(text))),
			Body:  template.HTML(html.String()),
		})
	}
	return notes, nil
}

func routes(notes []note) http.Handler {
	byName := map[string]note{}
	for _, n := range notes {
		byName[n.Name] = n
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("ok\n")) })
	mux.HandleFunc("/api/notes", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(map[string]any{"service": "notes", "version": version, "notes": notes})
	})
	mux.HandleFunc("/notes/", func(w http.ResponseWriter, r *http.Request) {
		n, found := byName[strings.TrimPrefix(r.URL.Path, "/notes/")]
		if !found {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		page.Execute(w, n)
	})
	return mux
}

func main() {
	listen := flag.String("listen", ":8080", "address to listen on")
	dir := flag.String("dir", "/srv/notes", "folder of the Markdown files")
	flag.Parse()
	notes, err := load(*dir)
	if err != nil {
		log.Fatal(err)
	}
	log.Printf("notes %s: %d notes on %s", version, len(notes), *listen)
	log.Fatal(http.ListenAndServe(*listen, routes(notes)))
}
