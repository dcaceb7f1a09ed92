package endpoint

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/sluice-net/sluice/service"
)
