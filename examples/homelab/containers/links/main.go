// Short names for long addresses: /<name> leads to the address, / is a page to see and change them, /api/links is the same for programs.
package main

import (
	"embed"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"io/fs"
	"log"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync"
)

var version = "unknown" // set by the linker

//go:embed page/dist
var files embed.FS

// No dots, so the files of the page are never in the way of a name.
var nameForm = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)
var taken = map[string]bool{"api": true, "healthz": true}

type store struct {
	sync.RWMutex
	file  string
	links map[string]string
}

func open(file string) (*store, error) {
	s := &store{file: file, links: map[string]string{}}
	text, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return nil, err
	}
	return s, json.Unmarshal(text, &s.links)
}

// change makes a copy with one link set, or without it, and shows it to others when it is on disk.
func (s *store) change(name, address string) error {
	s.Lock()
	defer s.Unlock()
	next := map[string]string{}
	for n, a := range s.links {
		next[n] = a
	}
	next[name] = address
	if address == "" {
		delete(next, name)
	}
	text, err := json.MarshalIndent(next, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(s.file+".new", append(text, '\n'), 0o644); err != nil {
		return err
	}
	if err := os.Rename(s.file+".new", s.file); err != nil {
		return err
	}
	s.links = next
	return nil
}

func (s *store) list(w http.ResponseWriter, _ *http.Request) {
	s.RLock()
	defer s.RUnlock()
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(map[string]any{"service": "links", "version": version, "links": s.links})
}

func (s *store) edit(w http.ResponseWriter, r *http.Request) {
	name, address := strings.TrimPrefix(r.URL.Path, "/api/links/"), ""
	switch r.Method {
	case http.MethodPut:
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 4096))
		address = strings.TrimSpace(string(body))
		parsed, bad := url.Parse(address)
		if err != nil || bad != nil || parsed.Host == "" || (parsed.Scheme != "http" && parsed.Scheme != "https") {
			http.Error(w, "the body must be an address with http:// or https://", http.StatusBadRequest)
			return
		}
	case http.MethodDelete:
	default:
		http.Error(w, "PUT or DELETE", http.StatusMethodNotAllowed)
		return
	}
	if !nameForm.MatchString(name) || taken[name] {
		http.Error(w, "names have small letters, digits and -", http.StatusBadRequest)
		return
	}
	if err := s.change(name, address); err != nil {
		log.Print(err)
		http.Error(w, "cannot write", http.StatusInternalServerError)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func routes(s *store) http.Handler {
	page, err := fs.Sub(files, "page/dist")
	if err != nil {
		log.Fatal(err)
	}
	shown := http.FileServer(http.FS(page))
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok\n") })
	mux.HandleFunc("/api/links", s.list)
	mux.HandleFunc("/api/links/", s.edit)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.RLock()
		address, found := s.links[strings.TrimPrefix(r.URL.Path, "/")]
		s.RUnlock()
		if found {
			http.Redirect(w, r, address, http.StatusFound)
			return
		}
		shown.ServeHTTP(w, r)
	})
	return mux
}

func main() {
	listen := flag.String("listen", ":8080", "address to listen on")
	file := flag.String("file", "/data/links.json", "where the links are kept")
	flag.Parse()
	s, err := open(*file)
	if err != nil {
		log.Fatal(err)
	}
	log.Printf("links %s: %d links on %s", version, len(s.links), *listen)
	log.Fatal(http.ListenAndServe(*listen, routes(s)))
}
