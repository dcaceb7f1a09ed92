package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
	"gopkg.in/natefinch/lumberjack.v2"

	"github.com/sluice-net/sluice/observe/export/sink"
)

// chunk is how much is written at once, bytes.
const chunk = 64 << 10

// Sink writes a file.
type Sink struct {
	config Config
	now    func() time.Time

	logger *lumberjack.Logger // moves, compresses and removes; when to rotate is decided here
	file   fs.FileInfo        // of the file that logger has open, nil if none
	size   int64              // of it
	born   time.Time          // of it
	buffer []byte
}

var _ sink.Sink = (*Sink)(nil)

// New returns the sink of checked settings. The file is opened when there is something to write.
func New(c Config) *Sink {
	const mega = 1 << 20
	return &Sink{config: c, now: time.Now, logger: &lumberjack.Logger{
		Filename: c.Path, MaxSize: int(c.size()/mega) + 2, // never reached: rotation comes before
		MaxBackups: c.keep(), MaxAge: int(time.Duration(c.Rotate.Age) / day), Compress: c.Rotate.Compress,
	}}
}

// Target is the file's path.
func (s *Sink) Target() string { return s.config.Path }

// Close closes the file.
func (s *Sink) Close() error {
	s.file = nil
	return s.logger.Close()
}

// Send writes records, each on a line of its own.
func (s *Sink) Send(ctx context.Context, batch []sink.Record) (r sink.Result) {
	s.buffer = s.buffer[:0]
	waiting, refused := 0, 0 // of the records of the buffer
	flush := func() bool {
		if err := s.write(s.buffer); err != nil {
			r.Err = err
			return false
		}
		r.Sent, r.Refused = r.Sent+waiting, r.Refused+refused
		s.buffer, waiting, refused = s.buffer[:0], 0, 0
		return true
	}
	for _, record := range batch {
		if ctx.Err() != nil {
			r.Err = ctx.Err()
			return r
		}
		line, err := record.Event().MarshalJSON()
		if err != nil || len(line) >= smallest {
			refused++ // no line of a flow is that long
			continue
		}
		if len(s.buffer)+len(line) >= chunk && !flush() {
			return r
		}
		s.buffer = append(append(s.buffer, line...), '\n')
		waiting++
	}
	flush()
	return r
}

// write appends whole lines, at most a chunk, to the file.
func (s *Sink) write(lines []byte) error {
	if len(lines) == 0 {
		return nil
	}
	if err := s.open(int64(len(lines))); err != nil {
		return err
	}
	n, err := s.logger.Write(lines)
	if err == nil {
		s.size += int64(n)
		return nil
	}
	// Half a line would spoil the next: what was written of it is taken back.
	if n > 0 {
		err = errors.Join(err, os.Truncate(s.config.Path, s.size))
	}
	_ = s.Close()
	return fmt.Errorf("write flows: %w", err)
}

// open makes sure that the file at the path is the one that is written, and has room for so many more bytes.
func (s *Sink) open(more int64) error {
	now, err := os.Stat(s.config.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if now, err = s.create(); err != nil {
			return err
		}
	case err != nil:
		return fmt.Errorf("open file: %w", err)
	case !now.Mode().IsRegular():
		return fmt.Errorf("open file %s: it is no regular file", s.config.Path)
	}
	if s.file == nil || !os.SameFile(s.file, now) {
		if err := s.logger.Close(); err != nil {
			return fmt.Errorf("close file: %w", err)
		}
		s.file, s.born = now, s.birth()
	}
	s.size = now.Size()
	every := time.Duration(s.config.Rotate.Every)
	if s.size == 0 || s.size+more <= s.config.size() && (every == 0 || s.now().Sub(s.born) < every) {
		return nil
	}
	// The logger opens what it finds in append mode, but not what it makes: it shall find the new file, too.
	if err := errors.Join(s.logger.Rotate(), s.logger.Close()); err != nil {
		s.file = nil
		return fmt.Errorf("rotate file: %w", err)
	}
	if s.file, err = os.Stat(s.config.Path); err != nil {
		return fmt.Errorf("rotate file: %w", err)
	}
	s.size, s.born = 0, s.now()
	return nil
}

// create makes the file, and the directories that it is in.
func (s *Sink) create() (fs.FileInfo, error) {
	if err := os.MkdirAll(filepath.Dir(s.config.Path), 0o750); err != nil {
		return nil, fmt.Errorf("make directory: %w", err)
	}
	mode, err := s.config.mode()
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(s.config.Path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, mode)
	if err != nil {
		return nil, fmt.Errorf("make file: %w", err)
	}
	defer f.Close()
	gid, err := s.config.gid()
	if err == nil {
		err = errors.Join(f.Chmod(mode), f.Chown(-1, gid)) // the umask does not count
	}
	if err != nil {
		return nil, fmt.Errorf("make file: %w", err)
	}
	return f.Stat()
}

// birth returns when the file was made, where the file system knows that, else the present time.
func (s *Sink) birth() time.Time {
	var st unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, s.config.Path, 0, unix.STATX_BTIME, &st)
	if err != nil || st.Mask&unix.STATX_BTIME == 0 {
		return s.now()
	}
	return time.Unix(st.Btime.Sec, int64(st.Btime.Nsec))
}
