package filter

import "errors"

// expression refuses.
func expression(string, *converter) (predicate, error) {
	return nil, errors.New("expressions are not supported")
}
