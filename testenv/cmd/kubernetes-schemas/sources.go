package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
)

// Where lifecycles are told: the newest types, and older ones of APIs whose types are gone since.
var told = []string{
	"k8s.io/api@v0.20.6", "k8s.io/api@v0.24.3", "k8s.io/api@v0.29.15", "k8s.io/api@v0.33.13", "k8s.io/api@v0.37.2",
	"k8s.io/apiextensions-apiserver@v0.37.2", "k8s.io/kube-aggregator@v0.37.2",
}

// For every kind that was ever deprecated: since when, when it went, and what is there instead.
func lifecycles() map[string]any {
	found := map[string]any{}
	for _, module := range told {
		folder := download(module)
		check(filepath.WalkDir(folder, func(path string, entry os.DirEntry, err error) error {
			if err == nil && entry.Name() == "zz_generated.prerelease-lifecycle.go" {
				lifecycle(path, found)
			}
			return err
		}))
	}
	// Its own registry warns of it; the types do not tell.
	found["v1 Endpoints"] = object{"deprecated": "1.33", "replacement": "discovery.k8s.io/v1 EndpointSlice"}
	for kind, facts := range found {
		if facts.(object)["deprecated"] == nil {
			delete(found, kind)
		}
	}
	return found
}

func lifecycle(path string, found map[string]any) {
	folder := filepath.Dir(path)
	apiVersion := filepath.Base(folder)
	if group := constant(folder, "GroupName"); group != "" {
		apiVersion = group + "/" + apiVersion
	}
	for _, declaration := range parse(path).Decls {
		function, ok := declaration.(*ast.FuncDecl)
		if !ok || function.Recv == nil {
			continue
		}
		kind := function.Recv.List[0].Type.(*ast.StarExpr).X.(*ast.Ident).Name
		what := strings.TrimPrefix(function.Name.Name, "APILifecycle")
		if strings.HasSuffix(kind, "List") {
			continue
		}
		facts, ok := found[apiVersion+" "+kind].(object)
		if !ok {
			facts = object{}
			found[apiVersion+" "+kind] = facts
		}
		results := function.Body.List[0].(*ast.ReturnStmt).Results
		switch what {
		case "Deprecated", "Removed":
			facts[strings.ToLower(what)] = fmt.Sprintf("%s.%s", literal(results[0]), literal(results[1]))
		case "Replacement":
			parts := map[string]string{}
			for _, element := range results[0].(*ast.CompositeLit).Elts {
				pair := element.(*ast.KeyValueExpr)
				parts[pair.Key.(*ast.Ident).Name] = literal(pair.Value)
			}
			version := parts["Version"]
			if parts["Group"] != "" {
				version = parts["Group"] + "/" + version
			}
			facts["replacement"] = version + " " + parts["Kind"]
		}
	}
}

func literal(expression ast.Expr) string {
	text := expression.(*ast.BasicLit).Value
	if unquoted, err := strconv.Unquote(text); err == nil {
		return unquoted
	}
	return text
}

// A constant of the package in a folder; empty without.
func constant(folder, name string) string {
	file := parse(filepath.Join(folder, "register.go"))
	value := ""
	ast.Inspect(file, func(node ast.Node) bool {
		if spec, ok := node.(*ast.ValueSpec); ok && spec.Names[0].Name == name && len(spec.Values) == 1 {
			if basic, ok := spec.Values[0].(*ast.BasicLit); ok {
				value = literal(basic)
			}
		}
		return true
	})
	return value
}

func parse(path string) *ast.File {
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
	check(err)
	return file
}

// The values of each field whose type k8s.io/api marks as an enumeration, by definition and field.
func enumerations(folder string) map[string]map[string][]string {
	packages := map[string]*types{}
	paths, err := filepath.Glob(filepath.Join(folder, "*", "v*", "types.go"))
	check(err)
	for _, path := range paths {
		relative, err := filepath.Rel(folder, filepath.Dir(path))
		check(err)
		packages["k8s.io/api/"+filepath.ToSlash(relative)] = collect(parse(path))
	}
	found := map[string]map[string][]string{}
	for path, here := range packages {
		parts := strings.Split(path, "/")
		prefix := "io.k8s.api." + parts[2] + "." + parts[3] + "."
		for name := range here.structs {
			fields := map[string][]string{}
			here.fields(name, packages, fields)
			if len(fields) > 0 {
				found[prefix+name] = fields
			}
		}
	}
	return found
}

// The types of one package, as far as enumerations need them.
type types struct {
	imports map[string]string
	structs map[string]*ast.StructType
	enums   map[string][]string
}

func collect(file *ast.File) *types {
	here := &types{map[string]string{}, map[string]*ast.StructType{}, map[string][]string{}}
	for _, imported := range file.Imports {
		path := literal(imported.Path)
		name := filepath.Base(path)
		if imported.Name != nil {
			name = imported.Name.Name
		}
		here.imports[name] = path
	}
	for _, declaration := range file.Decls {
		group, ok := declaration.(*ast.GenDecl)
		if !ok {
			continue
		}
		for _, spec := range group.Specs {
			if named, ok := spec.(*ast.TypeSpec); ok {
				here.declare(named, group.Doc)
			}
		}
	}
	for _, declaration := range file.Decls {
		group, ok := declaration.(*ast.GenDecl)
		if !ok || group.Tok != token.CONST {
			continue
		}
		for _, spec := range group.Specs {
			values := spec.(*ast.ValueSpec)
			kind, ok := values.Type.(*ast.Ident)
			if !ok || len(values.Values) != 1 {
				continue
			}
			known, marked := here.enums[kind.Name]
			if value, ok := values.Values[0].(*ast.BasicLit); ok && marked {
				here.enums[kind.Name] = append(known, literal(value))
			}
		}
	}
	return here
}

func (here *types) declare(named *ast.TypeSpec, doc *ast.CommentGroup) {
	if named.Doc != nil {
		doc = named.Doc
	}
	if structure, ok := named.Type.(*ast.StructType); ok {
		here.structs[named.Name.Name] = structure
	}
	for _, comment := range comments(doc) {
		if strings.TrimSpace(strings.TrimPrefix(comment.Text, "//")) == "+enum" {
			here.enums[named.Name.Name] = nil
		}
	}
}

func comments(group *ast.CommentGroup) []*ast.Comment {
	if group == nil {
		return nil
	}
	return group.List
}

// Adds the fields of a struct whose values are enumerated, with those of structs written inline.
func (here *types) fields(name string, packages map[string]*types, found map[string][]string) {
	structure := here.structs[name]
	if structure == nil {
		return
	}
	for _, field := range structure.Fields.List {
		if field.Tag == nil {
			continue
		}
		tag, options, _ := strings.Cut(reflect.StructTag(literal(field.Tag)).Get("json"), ",")
		kind := field.Type
		if pointer, ok := kind.(*ast.StarExpr); ok {
			kind = pointer.X
		}
		if list, ok := kind.(*ast.ArrayType); ok {
			kind = list.Elt
		}
		there, ident := here, ""
		switch kind := kind.(type) {
		case *ast.Ident:
			ident = kind.Name
		case *ast.SelectorExpr:
			there, ident = packages[here.imports[kind.X.(*ast.Ident).Name]], kind.Sel.Name
		}
		switch {
		case there == nil || ident == "":
		case options == "inline" && tag == "":
			there.fields(ident, packages, found)
		case len(there.enums[ident]) > 0:
			values := append([]string{}, there.enums[ident]...)
			found[tag] = values
		}
	}
}
