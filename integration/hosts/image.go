package hosts

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Image is the name of the image that LoadImage makes: busybox and probe, both static, nothing else.
const Image = "probe"

// busybox is where Debian and Ubuntu put the static one.
const busybox = "/bin/busybox"

// LoadImage imports Image into the host's engine.
func (h *Host) LoadImage(ctx context.Context) error {
	archive, err := imageArchive(filepath.Join(h.Bin, "probe"))
	if err != nil {
		return fmt.Errorf("build image: %w", err)
	}
	cmd := exec.CommandContext(ctx, filepath.Join(h.Engine.Bin, "docker"), "import",
		"-c", "ENV PATH=/bin", "-c", `CMD ["probe", "serve"]`, "-", Image)
	cmd.Env = h.Env()
	cmd.Stdin = bytes.NewReader(archive)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("import image: %w: %s", err, out)
	}
	return nil
}

// imageArchive packs the file system of Image.
func imageArchive(probe string) ([]byte, error) {
	applets, err := exec.Command(busybox, "--list").Output()
	if err != nil {
		return nil, fmt.Errorf("list applets of %s: %w (install busybox-static)", busybox, err)
	}
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, dir := range []string{"bin/", "etc/", "tmp/", "root/", "run/", "var/"} {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir, Mode: 0o1777}); err != nil {
			return nil, err
		}
	}
	for name, path := range map[string]string{"bin/busybox": busybox, "bin/probe": probe} {
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(data))}); err != nil {
			return nil, err
		}
		if _, err := w.Write(data); err != nil {
			return nil, err
		}
	}
	for _, applet := range strings.Fields(string(applets)) {
		if applet == "busybox" {
			continue
		}
		link := &tar.Header{Typeflag: tar.TypeSymlink, Name: "bin/" + applet, Linkname: "busybox"}
		if err := w.WriteHeader(link); err != nil {
			return nil, err
		}
	}
	return buf.Bytes(), w.Close()
}
