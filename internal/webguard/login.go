package webguard

import (
	"crypto/sha256"
	"encoding/base64"
	"html/template"
	"net/http"
)

// loginStyle is the only style of the login page: its policy names the hash of it.
const loginStyle = `:root{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif}
body{margin:0;min-height:100vh;display:grid;place-items:center;background:Canvas;color:CanvasText}
form{width:min(22rem,86vw);display:grid;gap:.75rem}h1{font-size:1.25rem;margin:0}p{margin:0;color:GrayText}
input,button{font:inherit;padding:.6rem .75rem;border-radius:.5rem;border:1px solid GrayText}
button{background:#2563eb;border-color:#2563eb;color:#fff;cursor:pointer}strong{color:#dc2626;font-weight:500}`

var loginPolicy = func() string {
	sum := sha256.Sum256([]byte(loginStyle))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
}()

var loginPage = template.Must(template.New("login").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Sluice</title><style>{{.Style}}</style></head>
<body><form method="post" action="{{.Path}}"><h1>Sluice</h1>
<label for="token">Token</label><input id="token" name="token" type="password" autocomplete="off" autofocus required>
{{with .Problem}}<strong role="alert">{{.}}</strong>{{end}}
<button>Open</button><p>It stands in the file of <code>--ui-token-file</code>; <code>sluice ui</code> opens the page without asking.</p>
</form></body></html>
`))

// showLogin asks for the token.
func showLogin(w http.ResponseWriter, status int, problem string) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", loginPolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin") // with no-referrer, the form would have no origin to compare
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = loginPage.Execute(w, struct {
		Style         template.CSS
		Path, Problem string
	}{loginStyle, LoginPath, problem}) // the client is gone: nobody to tell
}
