package filter

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	"github.com/google/cel-go/cel"
)

// flowVariable is what expressions call the flow.
const flowVariable = "_flow"

// Limits of an expression: of its text, bytes, and of what one flow may cost, in CEL's units.
const (
	maxExpression = 4096
	maxCost       = 100_000
)

// expressions is how flows look to expressions: made when the first is compiled, for it takes a while.
var expressions = sync.OnceValues(func() (*cel.Env, error) {
	return cel.NewEnv(
		cel.Container("flow"), // Verdict.DROPPED rather than flow.Verdict.DROPPED
		cel.Types(&flowpb.Flow{}),
		cel.Variable(flowVariable, cel.ObjectType("flow.Flow")),
		cel.ParserExpressionSizeLimit(maxExpression),
		cel.ParserRecursionLimit(64),
	)
})

// expression matches what an expression of the Common Expression Language says of the flow's message. A flow of which it
// cannot say anything, or not cheaply, does not match.
func expression(text string, c *converter) (predicate, error) {
	env, err := expressions()
	if err != nil {
		return nil, fmt.Errorf("prepare expressions: %w", err)
	}
	if len(text) > maxExpression {
		return nil, fmt.Errorf("the expression is longer than %d characters", maxExpression)
	}
	ast, issues := env.Compile(text)
	if err := issues.Err(); err != nil {
		return nil, fmt.Errorf("read expression: %w", err)
	}
	if ast.OutputType() != cel.BoolType {
		return nil, errors.New("the expression is no condition: it has to be true or false")
	}
	program, err := env.Program(ast, cel.CostLimit(maxCost), cel.EvalOptions(cel.OptOptimize))
	if err != nil {
		return nil, fmt.Errorf("read expression: %w", err)
	}
	message := c.Basic
	if strings.Contains(text, "uuid") || strings.Contains(text, "extensions") {
		message = c.Flow
	}
	return func(f *flow) bool {
		out, _, err := program.Eval(map[string]any{flowVariable: message(f)})
		if err != nil {
			return false
		}
		match, ok := out.Value().(bool)
		return ok && match
	}, nil
}
