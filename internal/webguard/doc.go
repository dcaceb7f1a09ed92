// Package webguard stands before a web page that shows what is nobody else's business: it refuses requests that came by a
// name that is not the page's (DNS rebinding) or from another page, and asks for a token, which a browser exchanges for a
// cookie that scripts cannot read. It knows nothing of the page.
package webguard
