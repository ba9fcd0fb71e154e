// Takes uploads in the protocol of resumable.js, with the standard library of Go alone.
//
//	go run app.go 8000
//
// Chunks stay in the folder "chunks" until all have come; the finished file is then in a folder of its own in "done".
package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log"
	"mime"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
)

const (
	maxRequest  = 128 << 20 // bytes: the last chunk may be almost twice as large as the others
	maxChunks   = 100_000
	maxUnused   = 7 * 24 * time.Hour // after which an unfinished upload is deleted
	chunkFolder = "chunks"
	doneFolder  = "done"
)

// refused is what the client did wrong. Any other error is the server's.
type refused struct {
	status int
	reason string
}

func (r refused) Error() string { return r.reason }

func bad(format string, arguments ...any) error {
	return refused{http.StatusBadRequest, fmt.Sprintf(format, arguments...)}
}

// chunk is what the parameters of a request say.
type chunk struct {
	id     string // a hash: the identifier is text of the client, and must not become a path
	name   string
	number int64 // from 1 on
	count  int64
	total  int64 // bytes of the whole file
}

func parse(values url.Values) (c chunk, err error) {
	identifier := values.Get("resumableIdentifier")
	if identifier == "" {
		return c, bad("resumableIdentifier is missing")
	}
	hash := sha256.Sum256([]byte(identifier))
	c.id = hex.EncodeToString(hash[:])
	// Only the last part of a path is a name. Some browsers send the path as Windows writes it.
	c.name = path.Base(strings.ReplaceAll(values.Get("resumableFilename"), `\`, "/"))
	if c.name == "." || c.name == ".." || c.name == "/" || len(c.name) > 255 ||
		strings.IndexFunc(c.name, unicode.IsControl) >= 0 {
		return c, bad("resumableFilename cannot be the name of a file")
	}
	for _, number := range []struct {
		field    *int64
		name     string
		min, max int64
	}{
		{&c.total, "resumableTotalSize", 0, 1 << 50},
		{&c.count, "resumableTotalChunks", 1, maxChunks},
		{&c.number, "resumableChunkNumber", 1, maxChunks},
	} {
		*number.field, err = strconv.ParseInt(values.Get(number.name), 10, 64)
		if err != nil || *number.field < number.min || *number.field > number.max {
			return c, bad("%s must be a number from %d to %d", number.name, number.min, number.max)
		}
	}
	if c.number > c.count {
		return c, bad("chunk %d of %d cannot be", c.number, c.count)
	}
	return c, nil
}

// plan is the folder of all chunks that belong together: its name says how the file was cut.
func (c chunk) plan() string {
	return filepath.Join(chunkFolder, c.id, fmt.Sprintf("%d-%d", c.total, c.count))
}

func (c chunk) path(number int64) string {
	return filepath.Join(c.plan(), strconv.FormatInt(number, 10))
}

// locks has one lock for several uploads, chosen by the first byte of the hash.
var locks [256]sync.Mutex

func (c chunk) lock() *sync.Mutex {
	first, _ := strconv.ParseUint(c.id[:2], 16, 8)
	return &locks[first]
}

// store takes the chunk that was written to the file temporary. The last one that was missing finishes the upload.
func (c chunk) store(temporary string) error {
	lock := c.lock()
	lock.Lock()
	defer lock.Unlock()
	plans, err := os.ReadDir(filepath.Join(chunkFolder, c.id))
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	for _, plan := range plans {
		if plan.Name() != filepath.Base(c.plan()) {
			return refused{http.StatusConflict, "this upload began with another size or number of chunks"}
		}
	}
	if err := os.MkdirAll(c.plan(), 0o700); err != nil {
		return err
	}
	stored, err := os.ReadDir(c.plan())
	if err != nil {
		return err
	}
	others := int64(len(stored))
	if _, err := os.Stat(c.path(c.number)); err == nil {
		others--
	}
	if others < c.count-1 {
		return os.Rename(temporary, c.path(c.number))
	}
	// The last chunk is not renamed before the file is whole. If joining fails, the client is told that this chunk is
	// missing and sends it again; otherwise nothing would ever finish the file.
	return c.join(temporary)
}

// join writes all chunks into one file under a temporary name, and renames it.
func (c chunk) join(last string) error {
	whole, err := os.CreateTemp(chunkFolder, ".whole-*")
	if err != nil {
		return err
	}
	defer os.Remove(whole.Name())
	defer whole.Close()
	var size int64
	for number := int64(1); number <= c.count; number++ {
		source := c.path(number)
		if number == c.number {
			source = last
		}
		written, err := appendFile(whole, source)
		if err != nil {
			return err
		}
		size += written
	}
	if size != c.total {
		os.RemoveAll(filepath.Dir(c.plan()))
		return bad("the chunks have %d bytes, and not the %d of resumableTotalSize", size, c.total)
	}
	if err := whole.Sync(); err != nil {
		return err
	}
	folder := filepath.Join(doneFolder, c.id)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	if err := os.Rename(whole.Name(), filepath.Join(folder, c.name)); err != nil {
		return err
	}
	return os.RemoveAll(filepath.Dir(c.plan()))
}

func appendFile(to io.Writer, name string) (int64, error) {
	from, err := os.Open(name)
	if err != nil {
		return 0, err
	}
	defer from.Close()
	return io.Copy(to, from)
}

// receive reads the parameters from the query and the form, and writes the bytes of the chunk to the file.
func receive(r *http.Request, to io.Writer) (values url.Values, size int64, err error) {
	values = r.URL.Query()
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if kind != "multipart/form-data" { // the body is the chunk
		size, err = io.Copy(to, r.Body)
		return values, size, unreadable(err)
	}
	form, err := r.MultipartReader()
	if err != nil {
		return values, 0, unreadable(err)
	}
	size = -1
	for {
		part, err := form.NextPart()
		if err == io.EOF {
			break
		} else if err != nil {
			return values, 0, unreadable(err)
		}
		if part.FormName() == "file" {
			if size, err = io.Copy(to, part); err != nil {
				return values, 0, unreadable(err)
			}
			continue
		}
		value, err := io.ReadAll(io.LimitReader(part, 64<<10))
		if err != nil {
			return values, 0, unreadable(err)
		}
		values.Add(part.FormName(), string(value))
	}
	if size < 0 {
		return values, 0, bad("the form has no file")
	}
	return values, size, nil
}

// unreadable says that an error is the client's, unless a file of the server could not be written.
func unreadable(err error) error {
	var written *os.PathError
	var large *http.MaxBytesError
	switch {
	case err == nil || errors.As(err, &written):
		return err
	case errors.As(err, &large):
		return refused{http.StatusRequestEntityTooLarge, fmt.Sprintf("a request may have %d bytes", large.Limit)}
	}
	return bad("the body cannot be read: %v", err)
}

func post(r *http.Request) error {
	temporary, err := os.CreateTemp(chunkFolder, ".chunk-*")
	if err != nil {
		return err
	}
	defer os.Remove(temporary.Name()) // does nothing after it was renamed
	values, size, err := receive(r, temporary)
	if closing := temporary.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return err
	}
	c, err := parse(values)
	if err != nil {
		return err
	}
	if said := values.Get("resumableCurrentChunkSize"); said != "" && said != strconv.FormatInt(size, 10) {
		return bad("the chunk has %d bytes, and not the %q of resumableCurrentChunkSize", size, said)
	}
	return c.store(temporary.Name())
}

func get(r *http.Request) (there bool, err error) {
	c, err := parse(r.URL.Query())
	if err != nil {
		return false, err
	}
	_, err = os.Stat(c.path(c.number))
	if os.IsNotExist(err) {
		return false, nil
	}
	return err == nil, err
}

func upload(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxRequest)
	status := http.StatusOK
	var err error
	switch r.Method {
	case http.MethodGet:
		var there bool
		if there, err = get(r); !there {
			status = http.StatusNoContent
		}
	case http.MethodPost:
		err = post(r)
	default:
		err = refused{http.StatusMethodNotAllowed, "GET asks for a chunk, POST sends one"}
	}
	var wrong refused
	switch {
	case errors.As(err, &wrong):
		http.Error(w, wrong.reason, wrong.status)
	case err != nil:
		log.Print(err)
		http.Error(w, "the server could not do this; try again", http.StatusServiceUnavailable)
	default:
		w.WriteHeader(status)
	}
}

// sweep deletes what was left behind by uploads that nobody continued.
func sweep() {
	for {
		entries, _ := os.ReadDir(chunkFolder)
		for _, entry := range entries {
			unused := func(name string) bool {
				info, err := os.Stat(name)
				return err == nil && time.Since(info.ModTime()) > maxUnused
			}
			name := filepath.Join(chunkFolder, entry.Name())
			if !entry.IsDir() {
				if unused(name) {
					os.Remove(name)
				}
				continue
			}
			lock := chunk{id: entry.Name()}.lock()
			lock.Lock()
			if plans, _ := filepath.Glob(filepath.Join(name, "*")); len(plans) == 0 || unused(plans[0]) {
				os.RemoveAll(name)
			}
			lock.Unlock()
		}
		time.Sleep(time.Hour)
	}
}

func main() {
	for _, folder := range []string{chunkFolder, doneFolder} {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			log.Fatal(err)
		}
	}
	go sweep()
	http.HandleFunc("/upload", upload)
	server := http.Server{Addr: "127.0.0.1:" + os.Args[1], ReadHeaderTimeout: 30 * time.Second}
	log.Fatal(server.ListenAndServe())
}
