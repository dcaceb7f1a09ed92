package convert

import (
	"strings"
	"testing"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
)

func TestMask(t *testing.T) {
	c := testConverter()
	whole := c.Flow(opening())
	for name, test := range map[string]struct {
		paths []string
		want  *flowpb.Flow
	}{
		"none":                       {nil, whole},
		"one":                        {[]string{"verdict"}, &flowpb.Flow{Verdict: flowpb.Verdict_FORWARDED}},
		"below":                      {[]string{"source.pod_name", "source.namespace"}, &flowpb.Flow{Source: &flowpb.Endpoint{PodName: "shop-web-1", Namespace: "shop"}}},
		"a branch":                   {[]string{"IP"}, &flowpb.Flow{IP: whole.GetIP()}},
		"a branch, and a part of it": {[]string{"IP", "IP.source"}, &flowpb.Flow{IP: whole.GetIP()}},
		"a part, and its branch":     {[]string{"IP.source", "IP"}, &flowpb.Flow{IP: whole.GetIP()}},
		"of one of": {[]string{"l4.TCP.source_port"},
			&flowpb.Flow{L4: &flowpb.Layer4{Protocol: &flowpb.Layer4_TCP{TCP: &flowpb.TCP{SourcePort: 40212}}}}},
		"of the other":             {[]string{"l4.UDP"}, &flowpb.Flow{L4: &flowpb.Layer4{}}},
		"not there":                {[]string{"l7.http"}, &flowpb.Flow{}},
		"costly ones":              {[]string{"uuid", "extensions"}, &flowpb.Flow{Uuid: whole.GetUuid(), Extensions: whole.GetExtensions()}},
		"a part of what is shared": {[]string{"emitter.name"}, &flowpb.Flow{Emitter: &flowpb.Emitter{Name: "Sluice"}}},
	} {
		t.Run(name, func(t *testing.T) {
			mask, err := NewMask(&fieldmaskpb.FieldMask{Paths: test.paths})
			if err != nil {
				t.Fatal(err)
			}
			for range 2 { // the first must not change what the second gets
				if diff := cmp.Diff(test.want, c.Masked(opening(), mask), protocmp.Transform()); diff != "" {
					t.Errorf("-want +got:\n%s", diff)
				}
			}
		})
	}
}

func TestMaskRefuses(t *testing.T) {
	for _, path := range []string{"shoes", "source.shoes", "", "source.", ".source", "verdict.name", "source_names.0", "source.labels.x"} {
		if _, err := NewMask(&fieldmaskpb.FieldMask{Paths: []string{"time", path}}); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%q: error %v", path, err)
		}
	}
}

// FuzzMask checks that what a mask lets through is part of the message, and that another pass changes nothing.
func FuzzMask(f *testing.F) {
	f.Add("verdict,source.pod_name")
	f.Add("l4.TCP.flags.SYN,l4.UDP,emitter")
	f.Add("extensions.value,time.seconds,..")
	f.Fuzz(func(t *testing.T, paths string) {
		mask, err := NewMask(&fieldmaskpb.FieldMask{Paths: strings.Split(paths, ",")})
		if err != nil {
			return
		}
		c := testConverter()
		once := c.Masked(opening(), mask)
		twice := mask.Apply(proto.Clone(once).(*flowpb.Flow))
		if !proto.Equal(once, twice) {
			t.Errorf("%s: %v, then %v", paths, once, twice)
		}
		if proto.Size(once) > proto.Size(c.Flow(opening())) {
			t.Errorf("%s: more than there was: %v", paths, once)
		}
	})
}
